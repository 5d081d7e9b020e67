"""Stages that pick and place by index, round, and resample regions: compiled and simulated, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator

pytestmark = pytest.mark.compiler

SHAPE = (1, 16, 24, 40)
TO_THE_BEGINNING = -(2**31)
Reference = Callable[[onnx.ModelProto, dict[str, NDArray[Any]]], dict[str, NDArray[np.float32]]]


class Graph:
    """Nodes and constants of a model whose input ``x`` is a tensor on [-2, 2) in steps of 1/64."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        scaled = self.op("Mul", "image", self.constant(1 / 64))
        self.x = self.op("Add", scaled, self.constant(-2.0))

    def constant(self, values: Any, dtype: Any = np.float16) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def integers(self, values: Any) -> str:
        return self.constant(values, np.int64)

    def op(self, kind: str, *inputs: str, output: str = "", outputs: int = 1, **attributes: Any) -> str:
        names = [output or f"node{len(self.nodes)}", *(f"node{len(self.nodes)}.{k}" for k in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[-1]

    def model(self, outputs: list[str]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT16, SHAPE)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT16, None) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        return onnx.shape_inference.infer_shapes(model)


def one_hot(g: Graph, *, axis: int, output: str) -> None:
    """Where each pixel's largest channel is."""
    places = g.op("TopK", g.x, g.integers([1]), outputs=2, axis=1)
    squeezed = g.op("Squeeze", places, g.integers([1]))
    g.op("OneHot", squeezed, g.integers([16]), g.constant([-0.5, 2.0]), axis=axis, output=output)


def gather_nd(g: Graph, *, batch: int, output: str) -> None:
    shape = (2, 8, 24, 40)
    data = g.op("Reshape", g.x, g.integers(shape))
    count = (2, 5) if batch else (7,)
    vectors = np.stack([g.rng.integers(0, size, count) for size in shape[batch : batch + 2]], -1)
    g.op("GatherND", data, g.integers(vectors), batch_dims=batch, output=output)


def scatter(g: Graph, *, axis: int, output: str) -> None:
    """Nine new elements on every line along an axis."""
    lines = [size for k, size in enumerate(SHAPE) if k != axis]
    places = np.stack([g.rng.permutation(SHAPE[axis])[:9] for _ in range(np.prod(lines))])
    indices = np.moveaxis(places.reshape(*lines, 9), -1, axis)
    updates = g.constant(g.rng.standard_normal(indices.shape))
    g.op("ScatterElements", g.x, g.integers(indices), updates, axis=axis, output=output)


def sliced(g: Graph, begin: list[int], end: list[int], axes: list[int], steps: list[int], *, output: str) -> None:
    g.op("Slice", g.x, *(g.integers(values) for values in (begin, end, axes, steps)), output=output)


def whole_numbers(g: Graph, *, output: str) -> None:
    """To whole numbers and back: the fraction goes, towards zero."""
    whole = g.op("Cast", g.op("Mul", g.x, g.constant(3.0)), to=TensorProto.INT32)
    g.op("Cast", whole, to=TensorProto.FLOAT16, output=output)


def regions(g: Graph, *, ratio: int, scale: float, output: str) -> None:
    boxes = [[0, 0, 20, 12], [3.25, 5.5, 39, 23], [10, 10, 10.25, 10.5], [-4, -2, 50, 40], [30, 2, 31, 22]]
    rois, images = g.constant(np.array(boxes) / scale), g.integers([0] * len(boxes))
    g.op(
        "RoiAlign", g.x, rois, images, output_height=4, output_width=5, sampling_ratio=ratio, spatial_scale=scale,
        output=output,
    )  # fmt: skip


LAYERS: dict[str, Callable[[Graph, str], None]] = {
    "one hot": lambda g, name: one_hot(g, axis=1, output=name),
    "one hot innermost": lambda g, name: one_hot(g, axis=-1, output=name),
    "picked by vectors": lambda g, name: gather_nd(g, batch=0, output=name),
    "picked by vectors for each": lambda g, name: gather_nd(g, batch=1, output=name),
    "placed in channels": lambda g, name: scatter(g, axis=1, output=name),
    "placed in rows": lambda g, name: scatter(g, axis=2, output=name),
    "flipped": lambda g, name: sliced(g, [-1], [TO_THE_BEGINNING], [3], [-1], output=name),
    "flipped both ways": lambda g, name: sliced(g, [-1, 9], [TO_THE_BEGINNING] * 2, [2, 3], [-1, -1], output=name),
    "every third backwards": lambda g, name: sliced(g, [30], [5], [3], [-3], output=name),
    "from beyond the end": lambda g, name: sliced(g, [100, 3], [-100, 20], [3, 2], [-7, 5], output=name),
    "rounded": lambda g, name: g.op("Round", g.op("Mul", g.x, g.constant(4.0)), output=name) and None,
    "whole numbers": lambda g, name: whole_numbers(g, output=name),
    "regions": lambda g, name: regions(g, ratio=2, scale=0.5, output=name),
    "regions by their size": lambda g, name: regions(g, ratio=0, scale=1.0, output=name),
}


def test_against_onnxruntime(compile_onnx: Callable[..., Blob], reference: Reference) -> None:
    graph = Graph()
    for name, layer in LAYERS.items():
        layer(graph, name)
    model = graph.model(list(LAYERS))
    inputs = {"image": np.random.default_rng(5).integers(0, 256, SHAPE).astype(np.uint8)}
    got = Simulator(compile_onnx(model)).run(dict(inputs))
    expected = reference(model, dict(inputs))
    for name in LAYERS:
        assert got[name].size == expected[name].size, name
        exact = not name.startswith("regions")
        np.testing.assert_allclose(
            got[name].reshape(expected[name].shape), expected[name], rtol=0, atol=0 if exact else 2e-3, err_msg=name
        )
