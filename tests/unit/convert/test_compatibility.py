"""Layers that the compiler would refuse are found before it is asked, all at once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import graph

from oakpoint.convert.compatibility import REFUSED, TAKEN, KnownOperators
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.opset.opset import DeviceOpset
from oakpoint.errors import Finding, UnsupportedNetworkError

WEIGHTS = {"w": np.ones((4, 4, 1, 1), np.float32), "grid": np.zeros((1, 2, 2, 2), np.float32), "yes": np.array(True)}
WEIGHTS |= {"rois": np.zeros((1, 4), np.float32), "image": np.array([0])}
WEIGHTS |= {"lw": np.ones((1, 8, 8), np.float32), "lr": np.ones((1, 8, 2), np.float32), "axes": np.array([0])}


def findings(body: str, *, opset: int = 13, **kwargs: object) -> tuple[Finding, ...]:
    with pytest.raises(UnsupportedNetworkError) as caught:
        apply_all(graph(body, opset=opset, weights=WEIGHTS, **kwargs), (DeviceOpset(), KnownOperators()))  # type: ignore[arg-type]
    return caught.value.findings


def test_all_of_them_are_told_with_a_remedy() -> None:
    body = "a = Sin (x)\n b = GridSample (a, grid)\n c = NonZero (b)\n f = Cast <to = 1> (c)\n y = Conv (f, f)"
    found = findings(body, opset=16)
    assert [finding.operator for finding in found] == ["GridSample", "Sin", "NonZero", "Conv"]
    assert all(finding.remedy and finding.layer for finding in found)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("w2 = Relu (w)\n y = Conv (x, w2)", "its weights are computed"),
        ("y, i = MaxPool <kernel_shape = [2, 2]> (x)", "no indices of maxima"),
        ('y = RoiAlign <mode = "max"> (x, rois, image)', "mode max"),
        ("y = Dropout (x, , yes)", "as in training"),
        ("s = Squeeze (x, axes)\n y = LSTM <hidden_size = 2> (s, lw, lr)", "the length of its sequence is not known"),
    ],
)
def test_a_form_that_is_not_taken(body: str, told: str) -> None:
    (finding,) = findings(body)
    assert told in finding.problem


def test_what_is_taken_is_left_alone() -> None:
    model = graph("a = Conv (x, w)\n b = Relu (a)\n y = MaxPool <kernel_shape = [2, 2]> (b)", opset=13, weights=WEIGHTS)
    before = model.SerializeToString()
    assert apply_all(model, [KnownOperators()]) == ()
    assert model.SerializeToString() == before


def test_layers_of_one_kind_share_a_line() -> None:
    body = "a = Sin (x)\n b = Sin (a)\n c = Sin (b)\n d = Sin (c)\n e = Tan (d)\n y = Sin (e)"
    with pytest.raises(UnsupportedNetworkError) as caught:
        apply_all(graph(body, opset=13), [KnownOperators()])
    assert len(caught.value.findings) == 6
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("layers 'Sin_0', 'Sin_1', 'Sin_2' and 2 more (Sin): no SHAVE kernel")


def test_the_table_is_of_operators_that_there_are() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    assert known >= TAKEN
    assert known >= REFUSED.keys()
    assert not TAKEN & REFUSED.keys()


def test_a_later_error_does_not_hide_what_was_found() -> None:
    """A size that cannot be inferred behind a layer that is not known is no news."""
    body = "a = Sin (x)\n y = GridSample (a, grid)"
    assert {finding.operator for finding in findings(body, opset=16)} == {"Sin", "GridSample"}
