"""What is seen among the device's rewrites: layers that heads add, constants before FP16."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import graph

from oakpoint.convert.device_graph import DeviceInput
from oakpoint.convert.graph_edit import GraphEditor, set_outputs
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.convert.split.halves import fixed_graph
from oakpoint.errors import ConversionError
from oakpoint.layers.check.device import DeviceCheck
from oakpoint.layers.check.observers import ObservedConstants, ObservedHeads
from oakpoint.layers.names import Layers


class Doubled(Rewrite):
    """Heads that put out twice an output."""

    name = "heads"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        edit = GraphEditor(model.graph, "heads")
        edit.op("Mul", "y", edit.constant(2.0), output="twice")
        set_outputs(model.graph, "twice")
        return ("twice",)


class Refusing(Rewrite):
    """Heads that this network cannot have."""

    name = "heads"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        raise ConversionError("its descriptors are none")


def network(body: str = "a = Relu (x)\n y = Neg (a)") -> onnx.ModelProto:
    return graph(body, inputs="float[1, 2, 3, 4] x", outputs="float y", opset=13)


def checked(model: onnx.ModelProto, heads: Rewrite) -> DeviceCheck:
    inputs = [DeviceInput(name="x", shape=(1, 2, 3, 4))]
    check = DeviceCheck(fixed_graph(model, inputs), Layers(model), inputs, [heads])
    check.rewrite()
    return check


def test_heads_are_layers_of_their_own() -> None:
    check = checked(network(), Doubled())
    assert [layer.shown for layer in check.layers.layers] == ["Relu_0", "Neg_1", "heads.twice"]
    assert check.verdicts.graph is not None
    assert [output.name for output in check.verdicts.graph.model.graph.output] == ["twice"]
    check.compile(lambda part: "no" if any(node.op_type == "Mul" for node in part.graph.node) else None)
    (refused,) = check.verdicts.refused.items()
    assert refused[0] == 2
    assert "--heads" in refused[1].remedy
    assert refused[1].replacement == ""
    assert check.cut_bytes([2]) == 2 * 24  # the network's own output


def test_heads_whose_outputs_are_cut_off_are_left_out() -> None:
    check = checked(network("a = Relu (x)\n y = Sin (a)"), Doubled())
    assert check.heads_left_out
    assert len(check.layers.layers) == 2
    assert not checked(network("a = Sin (x)\n y = Neg (a)"), Doubled()).heads_left_out


def test_heads_that_a_network_cannot_have_are_an_error() -> None:
    with pytest.raises(ConversionError, match="its descriptors are none"):
        checked(network(), Refusing())


def test_outputs_at_cuts_stay_outputs() -> None:
    model = network("a = Relu (x)\n b = Exp (x)\n y = Neg (a)")
    model.graph.output.append(onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, (1, 2, 3, 4)))
    heads = ObservedHeads([Doubled()], ["y"])
    heads.apply(model)
    assert [output.name for output in model.graph.output] == ["twice", "b"]
    assert [node.output[0] for node in heads.added] == ["twice"]


def test_constants_are_seen_and_not_changed(tmp_path: Path) -> None:
    weights = {"w": np.array([1e-9, 2], np.float32).reshape(2, 1, 1), "axes": np.array([1])}
    model = graph("a = Mul (x, w)\n y = ReduceSum (a, axes)", opset=13, inputs="float[1, 2, 3, 4] x", weights=weights)
    before, seen = model.SerializeToString(), ObservedConstants()
    assert not seen.apply(model)
    assert model.SerializeToString() == before
    assert seen.sizes == {"w": 2}
    assert seen.ranges["w"].below_smallest == 0.5
    assert [node.op_type for node in seen.nodes] == ["Mul"]
