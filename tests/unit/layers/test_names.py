"""Whose the layers of a rewritten graph are, and what layers are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import graph

from oakpoint.convert.device_graph import DeviceInput, device_graph
from oakpoint.layers.names import Layers

WEIGHTS = {
    "w": np.ones((4, 3, 3, 3), np.float32),
    "s": np.ones(4, np.float32),
    "b": np.zeros(4, np.float32),
    "two": np.array(2, np.float32),
}
BODY = """
a = Conv <pads = [1, 1, 1, 1]> (x, w)
n = BatchNormalization (a, s, b, b, s)
h = HardSwish (n)
g = Gelu (h)
i = Identity (g)
p = Pow (i, two)
l = ReduceL2 <axes = [1]> (p)
y = Div (p, l)
"""


@pytest.fixture
def model() -> onnx.ModelProto:
    return graph(BODY, inputs="float[1, 3, 8, 8] x", outputs="float y", opset=17, weights=WEIGHTS)


def test_every_layer_of_the_device_graph_has_an_owner(tmp_path: Path, model: onnx.ModelProto) -> None:
    gelu = next(node for node in model.graph.node if node.op_type == "Gelu")
    gelu.CopyFrom(onnx.helper.make_node("Erf", ["h"], ["g"], name="the error function"))
    onnx.save(model, tmp_path / "m.onnx")
    layers = Layers(model)
    made = device_graph(tmp_path / "m.onnx", [DeviceInput(name="x", shape=(1, 3, 8, 8), scale=1 / 255)])
    owners = layers.owners(made.model.graph.node)
    assert None not in owners
    told = {(layers.layers[owner].operator, node.op_type) for owner, node in zip(owners, made.model.graph.node)}  # noqa: B905
    assert ("Conv", "Conv") in told
    assert ("ReduceL2", "Sqrt") in told
    assert ("Pow", "Mul") in told
    assert not {operator for operator, inner in told if inner == "Conv"} - {"Conv", "ReduceL2"}
    assert {operator for operator, inner in told if inner == "Clip"} <= {"HardSwish"}


def test_names_and_beginnings() -> None:
    nodes = "a = Relu (x)\n a_1 = Exp (a)\n y = Neg (a_1)"
    layers = Layers(graph(nodes, inputs="float[2] x", outputs="float y"))
    assert layers.named("a_1") == 1
    assert layers.named("a_1_squares_mul0") == 1
    assert layers.named("a_squares_mul0") == 0
    assert layers.named("Relu_0_3") == 0
    assert layers.named("other") is None
    assert layers.labelled("layer 'a' (Relu)") == 0
    assert layers.labelled("layer Exp_1 (Exp)") == 1
    assert layers.labelled("every constant") is None


def test_layers_without_a_name_are_called_by_what_they_give() -> None:
    model = graph("a = Relu (x)\n y = Neg (a)", inputs="float[2] x", outputs="float y")
    for node in model.graph.node:
        node.name = ""
    assert [layer.name for layer in Layers(model).layers] == ["a", "y"]


def test_constants_are_no_layers() -> None:
    body = "c = Constant <value: tensor = float[1] {2.0}> ()\n y = Mul (x, c)"
    assert [layer.operator for layer in Layers(graph(body, inputs="float[2] x", outputs="float y")).layers] == ["Mul"]


@pytest.mark.parametrize("named", [True, False])
def test_a_convolution_that_a_norm_went_into_stays_the_convolution(tmp_path: Path, named: bool) -> None:
    body = "a = Conv <pads = [1, 1, 1, 1]> (x, w)\n n = BatchNormalization (a, s, b, b, s)\n y = Relu (n)"
    model = graph(body, inputs="float[1, 3, 8, 8] x", outputs="float y", opset=17, weights=WEIGHTS)
    model.graph.initializer.pop()  # two
    for node in model.graph.node:
        node.name = node.name if named else ""
    onnx.save(model, tmp_path / "m.onnx")
    layers = Layers(model)
    made = device_graph(tmp_path / "m.onnx", [DeviceInput(name="x", shape=(1, 3, 8, 8), scale=1 / 255)])
    owners = [layers.layers[owner].operator for owner in layers.owners(made.model.graph.node) if owner is not None]
    assert owners == ["Conv", "Relu"]
    (normalisation,) = (applied for applied in made.rewrites if applied.rewrite == "input-normalisation")
    assert [layers.layers[layers.labelled(label) or 0].operator for label in normalisation.layers] == ["Conv"]


def test_layers_that_are_added_and_what_a_label_says_of_a_layer() -> None:
    layers = Layers(graph("a = Relu (x)\n y = Neg (a)", inputs="float[2] x", outputs="float y"))
    added = layers.with_added([onnx.helper.make_node("Exp", ["y"], ["z"], name="z_Exp")], "heads")
    assert [layer.shown for layer in added.layers] == ["Relu_0", "Neg_1", "heads.z"]
    assert added.named("z_Exp") == added.named("z") == 2
    assert len(layers.layers) == 2
    assert layers.labelled("layer 'a' (Relu): mean subtracted") == 0
    assert Layers.remark_in("layer 'a' (Relu): mean subtracted") == "mean subtracted"
    assert Layers.remark_in("layer 'a' (Relu)") == Layers.remark_in("every constant") == ""
