"""The two models of a network: one after the other they are the network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graphs import graph, run

from oakpoint.convert.device_graph import DeviceInput
from oakpoint.convert.split.cut import Cut, cut_at, from_input
from oakpoint.convert.split.halves import HANDED_ON, halves, parts_at_size

RNG = np.random.default_rng(8)
W1, W2 = (RNG.normal(0, 0.2, (4, channels, 3, 3)).astype(np.float32) for channels in (3, 4))
BODY = """
a = Conv <pads = [1, 1, 1, 1]> (image, w1)
b = Relu (a)
y = Sigmoid (b)
c = Conv <pads = [1, 1, 1, 1]> (b, w2)
d = Sin (c)
e = Add (d, a)
m = ReduceMean <axes = [1], keepdims = 1> (image)
z = Mul (e, m)
"""
INPUTS = [DeviceInput(name="image", shape=(1, 3, 8, 12), scale=1 / 255)]


def whole(batch: str = "1") -> onnx.ModelProto:
    return graph(
        BODY,
        inputs=f"float[{batch}, 3, 8, 12] image",
        outputs="float y, float z",
        opset=17,
        weights={"w1": W1, "w2": W2},
    )


def chained(models: object, image: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
    device, tail = models.device, models.tail  # type: ignore[attr-defined]
    given = dict(zip([v.name for v in device.graph.output], run(device, {"image": image}), strict=True))
    made = run(tail, {value.name: given[value.name] for value in tail.graph.input})
    given |= dict(zip([value.name for value in tail.graph.output], made, strict=True))
    return [given[name] for name in outputs]


@pytest.mark.parametrize("batch", ["1", "N"])
@pytest.mark.parametrize("refused", [[1], [2], [3], [4], [5], [6], [7], [2, 6], [0]])
def test_every_cut_computes_the_same(refused: list[int], batch: str) -> None:
    parts = parts_at_size(whole(batch), INPUTS)
    assert [node.op_type for node in parts.nodes][:5] == ["Conv", "Relu", "Sigmoid", "Conv", "Sin"]
    models = halves(parts, cut_at(parts, from_input(parts, refused)))
    onnx.checker.check_model(models.device)
    onnx.checker.check_model(models.tail)
    image = RNG.random((1, 3, 8, 12)).astype(np.float32)
    for got, expected in zip(chained(models, image, ["y", "z"]), run(whole(), {"image": image}), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_image_that_the_host_needs_is_handed_on_under_another_name() -> None:
    parts = parts_at_size(whole(), INPUTS)
    models = halves(parts, cut_at(parts, from_input(parts, [6])))
    assert models.tail.graph.input[0].name == f"image{HANDED_ON}"
    assert f"image{HANDED_ON}" in [value.name for value in models.device.graph.output]
    assert [value.name for value in models.device.graph.input] == ["image"]


def test_what_crosses_keeps_its_name_and_its_order() -> None:
    parts = parts_at_size(whole(), INPUTS)
    models = halves(parts, cut_at(parts, from_input(parts, [4])))
    assert [value.name for value in models.tail.graph.input] == ["a", "c", "m"]
    assert [value.name for value in models.tail.graph.output] == ["z"]
    assert {value.name for value in models.device.graph.output} == {"y", "a", "c", "m"}


def test_a_branch_of_the_tail_reads_the_image_from_around_it() -> None:
    model = whole()
    graph_of = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["image", "image"], ["twice"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("twice", onnx.TensorProto.FLOAT, [1, 3, 8, 12])],
    )
    yes = onnx.helper.make_node("ReduceMax", ["image"], ["largest"], name="largest", keepdims=0)
    bigger = onnx.helper.make_node("Greater", ["largest", "half"], ["yes"], name="greater")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    node = onnx.helper.make_node("If", ["yes"], ["w"], name="if", then_branch=graph_of, else_branch=graph_of)
    model.graph.node.extend([yes, bigger, node])
    model.graph.output.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [1, 3, 8, 12]))
    parts = parts_at_size(model, INPUTS)
    refused = [place for place, made in enumerate(parts.nodes) if made.op_type in ("If", "ReduceMax", "Greater")]
    models = halves(parts, cut_at(parts, from_input(parts, refused)))
    image = RNG.random((1, 3, 8, 12)).astype(np.float32)
    np.testing.assert_array_equal(chained(models, image, ["w"])[0], 2 * image)


def test_doubles_and_halves_cross_as_float32() -> None:
    body = "h = Cast <to = 10> (image)\n s = Relu (h)\n t = Exp (s)\n y = Cast <to = 1> (t)"
    model = graph(body, inputs="float[1, 3, 8, 12] image", outputs="float y", opset=17)
    parts = parts_at_size(model, INPUTS)
    models = halves(parts, Cut(frozenset({0}), (parts.nodes[0].output[0],), ()))
    assert models.tail.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
