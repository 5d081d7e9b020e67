"""Names of layers, outputs and modules behind which a network is cut."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import graph

from oakpoint.convert.device_graph import DeviceInput
from oakpoint.convert.split.halves import parts_at_size
from oakpoint.errors import UsageError
from oakpoint.layers.cuts.cut_names import tensors_behind

MODEL = graph(
    """
    a = Relu (x)
    b = Sigmoid (a)
    s, t = Split <axis = 1> (b, two)
    c = Add (one, one)
    y = Mul (s, c)
    z = Neg (t)
    """,
    inputs="float[1, 4, 6, 8] x",
    outputs="float y, float z",
    opset=17,
    weights={"two": np.array([2, 2]), "one": np.ones(1, np.float32)},
)
PARTS = parts_at_size(MODEL, [DeviceInput(name="x", shape=(1, 4, 6, 8))])
MODULES = {"a": "body.first", "b": "body.second", "s": "head", "y": "head.score"}


@pytest.mark.parametrize(
    ("names", "tensors"),
    [
        (["Sigmoid_1"], ("b",)),
        (["b"], ("b",)),
        (["Split_2"], ("s", "t")),
        (["t"], ("t",)),
        (["body"], ("b",)),
        (["body.first"], ("a",)),
        (["head"], ("t", "y")),
        (["a", "body.first", "s"], ("a", "s")),
    ],
)
def test_a_layer_an_output_and_a_module(names: list[str], tensors: tuple[str, ...]) -> None:
    assert tensors_behind(names, MODEL, PARTS, MODULES) == tensors


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Sigmoid_2", "no layer, output or module of the network; near it are Sigmoid_1"),
        ("qqqq", "oakpoint check --all lists the layers"),
        ("c", "does not hang on the image"),
        ("bod", "no layer, output or module"),
    ],
)
def test_what_is_none_is_told_with_what_is_near(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tensors_behind([name], MODEL, PARTS, MODULES)
