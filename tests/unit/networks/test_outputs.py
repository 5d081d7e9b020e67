"""Whatever a network returns comes out as named tensors, in an order that hangs on its structure alone."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from oakpoint.errors import UsageError
from oakpoint.networks.output_names import parse_outputs
from oakpoint.networks.outputs import OutputsError, chosen_outputs, named_outputs

A, B, C = (torch.full((1, number), float(number)) for number in (1, 2, 3))
Pair = namedtuple("Pair", "semi desc")


@dataclass
class Found:
    scores: torch.Tensor
    levels: list[torch.Tensor]
    loss: float | None = None


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (A, {"output": A}),
        ((A, B), {"output_0": A, "output_1": B}),
        ([A, None, B], {"output_0": A, "output_2": B}),
        ((A, 0.5, "text", B), {"output_0": A, "output_3": B}),
        ([[A, B], C], {"output_0_0": A, "output_0_1": B, "output_1": C}),
        ({"b": A, "a": B}, {"b": A, "a": B}),
        (Pair(A, B), {"semi": A, "desc": B}),
        (Found(A, [B, C]), {"scores": A, "levels_0": B, "levels_1": C}),
        ({"levels": (A, {"x": B})}, {"levels_0": A, "levels_1_x": B}),
        (OrderedDict([("out", A), ("aux", None)]), {"out": A}),
        ({0: A, "1": B}, {"output_0": A, "output_1": B}),
        ({"p/3": A, "näher dran": B}, {"p_3": A, "n_her_dran": B}),
        ({"a": [A], "a_0": B, "a.0": C}, {"a_0": A, "a_0_2": B, "a_0_3": C}),
        (torch.nn.Parameter(A), {"output": A}),
        (torch.max(B, 1), {"output_0": B[:, 0], "output_1": torch.tensor([0])}),
    ],
)
def test_names(returned: object, expected: dict[str, torch.Tensor]) -> None:
    found = named_outputs(returned)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned no tensors, but nothing"),
        ([], "returned no tensors, but an object of type list"),
        ({"loss": 0.5}, "returned no tensors, but an object of type dict"),
        (SimpleNamespace(a=A), "returned an object of type SimpleNamespace; expected tensors, alone or in a tuple"),
        ((A, {1, 2}), "returned an object of type set"),
        (Found, "returned an object of type type"),
    ],
)
def test_what_is_no_structure_of_tensors(returned: object, message: str) -> None:
    with pytest.raises(OutputsError, match=f"^{message}"):
        named_outputs(returned)


def test_a_structure_within_itself() -> None:
    endless: list[Any] = [A]
    endless.append(endless)
    with pytest.raises(OutputsError, match="within itself"):
        named_outputs(endless)


@pytest.mark.parametrize(
    ("returned", "wanted", "expected"),
    [
        ((A, B), None, {"output_0": A, "output_1": B}),
        ((A, B), ("semi", "desc"), {"semi": A, "desc": B}),
        (A, ("semi",), {"semi": A}),
        (Pair(A, B), ("scores", "descriptors"), {"scores": A, "descriptors": B}),
        (Pair(A, B), ("desc", "semi"), {"desc": B, "semi": A}),
        ({"desc": A, "semi": B, "prob": C}, ("semi", "desc"), {"semi": B, "desc": A}),
        ((A, B, C), {"desc": "output_2", "semi": "output_0"}, {"desc": C, "semi": A}),
        ({"x": A}, {"one": "x", "two": "x"}, {"one": A, "two": A}),
    ],
)
def test_choice(returned: object, wanted: Any, expected: dict[str, torch.Tensor]) -> None:
    found = chosen_outputs(returned, wanted)
    assert list(found) == list(expected)
    assert all(found[name] is tensor for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("returned", "wanted", "message"),
    [
        (
            (A, B, C),
            ("semi", "desc"),
            r"gives other outputs than the 2 expected \(semi, desc\), namely output_0 \(1, 1\), output_1 \(1, 2\), "
            r"output_2 \(1, 3\); choose with --output semi=NAME --output desc=NAME$",
        ),
        ({"x": A, "y": B}, ("semi", "desc"), "gives other outputs"),  # a dict has no order to go by
        ((A, B), {"semi": "scores"}, r"returned no scores; it gives output_0 \(1, 1\), output_1 \(1, 2\)$"),
    ],
)
def test_a_choice_of_what_is_not_there_lists_what_is(returned: object, wanted: Any, message: str) -> None:
    with pytest.raises(OutputsError, match=f"^{message}"):
        chosen_outputs(returned, wanted)


def test_choices_as_text() -> None:
    assert parse_outputs(["semi=output_1", "desc"]) == {"semi": "output_1", "desc": "desc"}
    assert list(parse_outputs(["b = x", "a=x"])) == ["b", "a"]


@pytest.mark.parametrize("text", ["", "=x", "semi=", "my scores=x", "1st=x"])
def test_a_choice_with_a_mistake(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--output {text}: expected NEW=NAME or NAME"):
        parse_outputs([text])


@pytest.mark.parametrize("name", ["128", "transpose_0.tmp_0", "/head/Conv_output_0", "StatefulPartitionedCall:1"])
def test_an_output_by_a_name_as_exporters_give_them(name: str) -> None:
    assert parse_outputs([name, f"new={name}"]) == {name: name, "new": name}


def test_a_name_given_twice() -> None:
    with pytest.raises(UsageError, match=r"^--output a=y: a is given twice$"):
        parse_outputs(["a=x", "a=y"])
