"""A host's ONNX with everything inside: an image's levels in, keypoints, scores and descriptors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper

from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.convert.graph_edit import GraphEditor, inferred_values, numbers_of, rename_tensor
from oakpoint.errors import UsageError
from oakpoint.features.types import CELL_PX
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.keypoints.families.cells import Cells, CellsLast
from oakpoint.tasks.keypoints.families.reliability import CellsReliability
from oakpoint.tasks.keypoints.families.score_map import ScoreMap
from oakpoint.tasks.keypoints.fused.arithmetic import Arithmetic
from oakpoint.tasks.keypoints.fused.decoding import OUTPUTS, append_decoding, heatmap_of_cells
from oakpoint.tasks.keypoints.fused.running import levels_of
from oakpoint.tasks.keypoints.task import Keypoints

OLDEST_OPSET = 13
"""Softmax, ReduceSum and Squeeze mean what they mean here from this opset on."""

PREFIX = "fused"

Shapes = Mapping[str, Sequence[int]]


def fused_interface(interface: Interface) -> Interface:
    """What a fused model takes and gives: the image's levels, uint8, in the layout of the network's own input.

    Raises:
        UsageError: the network takes more than one image.
    """
    if len(interface.inputs) != 1:
        raise UsageError("decoding graph: expected a network with one input, an image; use decoding numpy")
    outputs = (
        TensorSpec(OUTPUTS[0], "float32", ("keypoints", 2)),
        TensorSpec(OUTPUTS[1], "float32", ("keypoints",)),
        TensorSpec(OUTPUTS[2], "float32", ("keypoints", "values")),
    )
    return replace(levels_of(interface), outputs=outputs)


def fused_model(network: onnx.ModelProto, interface: Interface, task: Keypoints) -> onnx.ModelProto:
    """A network with scaling before it and decoding behind it.

    Keypoints (N, 2) are in pixels of the tensor image, best first, as ``features.decode`` gives them with the task's
    options; scores are (N,), descriptors (N, D).

    Args:
        network: the host's ONNX, its outputs under the chain's names; left as it is.
        interface: of the network, at the size that is wanted.
        task: what its outputs mean, and how they are decoded.

    Raises:
        UsageError: an opset or options that the graph is not made for.
    """
    model = onnx.ModelProto.FromString(network.SerializeToString())
    _require_opset(model)
    taken = fused_interface(interface).inputs[0]
    graph = model.graph
    name = taken.tensor.name
    source = _image_of(graph)
    if source.name != name:
        rename_tensor(graph, name, f"{PREFIX}_{name}_of_network")
    kind, own_name = source.type.tensor_type.elem_type, source.name
    source.CopyFrom(helper.make_tensor_value_info(own_name, kind, list(taken.tensor.shape)))
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    rename_outputs(graph, _known_sizes(model), task, interface.image.size)
    rename_tensor(graph, own_name, f"{PREFIX}_scaled")
    source.CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, list(taken.tensor.shape)))
    own = list(graph.node)
    del graph.node[:]
    assert taken.preprocess is not None
    _append_scaling(Arithmetic(GraphEditor(graph, f"{PREFIX}_image")), name, taken.preprocess)
    graph.node.extend(own)
    append_features(graph, {value.name: numbers_of(value) or () for value in graph.output}, task)
    return model


def rename_outputs(graph: onnx.GraphProto, sizes: Shapes, task: Keypoints, image_size: tuple[int, int]) -> None:
    """Give a network's outputs the chain's names, and their sizes, whatever it calls them; leave out all others.

    Raises:
        UsageError: outputs that are not those of the task's family.
    """
    specs = tuple(TensorSpec(name, "float32", tuple(size)) for name, size in sizes.items())
    told = task.form.told_apart(specs, image_size)
    if told is None:
        raise UsageError(f"decoding graph: the outputs {', '.join(sizes)} are not those of the family {task.family}")
    names = dict(zip((spec.name for spec in told), task.form.tensors, strict=True))
    for own in names:
        rename_tensor(graph, own, f"{PREFIX}_{own}_of_network")
    for own, new in names.items():
        rename_tensor(graph, f"{PREFIX}_{own}_of_network", new)
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(names[s.name], TensorProto.FLOAT, list(s.shape)) for s in told)


def _image_of(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise UsageError(f"decoding graph: expected a network with one input, got {len(inputs)}; use decoding numpy")
    return inputs[0]


def _known_sizes(model: onnx.ModelProto) -> Shapes:
    known = inferred_values(model)
    sizes = {value.name: numbers_of(known[value.name]) for value in model.graph.output}
    if missing := [name for name, size in sizes.items() if size is None]:
        raise UsageError(f"decoding graph: the size of {', '.join(missing)} is not known before a run; use numpy")
    return {name: size for name, size in sizes.items() if size is not None}


def append_features(graph: onnx.GraphProto, shapes: Shapes, task: Keypoints) -> None:
    """Append decoding to a graph whose outputs are a network's, and make what it gives the graph's outputs.

    Args:
        graph: changed in place.
        shapes: of the outputs by the chain's names, with a batch of 1.
        task: what they mean, and how they are decoded.

    Raises:
        UsageError: a family or options that the graph is not made for.
    """
    for taken in set(OUTPUTS) & set(shapes):
        rename_tensor(graph, taken, f"{PREFIX}_{taken}_of_network")
    arithmetic = Arithmetic(GraphEditor(graph, PREFIX))
    names = {own: f"{PREFIX}_{own}_of_network" if own in OUTPUTS else own for own in shapes}
    heatmap, descriptors, grid, stride = _dense(arithmetic, shapes, names, task)
    append_decoding(arithmetic, heatmap, descriptors, grid, stride, task.decode)
    del graph.output[:]
    of_shape = ([PREFIX, 2], [PREFIX], [PREFIX, grid[0]])
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(OUTPUTS, of_shape, strict=True)
    )


def _dense(
    graph: Arithmetic, shapes: Shapes, names: Mapping[str, str], task: Keypoints
) -> tuple[str, str, tuple[int, int, int], int]:
    """Heat map (H, W) and descriptors (D, Hc, Wc), the latter's shape, and the pixels from one to the next."""
    first, last = task.form.tensors[0], task.form.tensors[-1]
    if set(shapes) != set(task.form.tensors):
        raise UsageError(
            f"decoding graph: expected the outputs {', '.join(task.form.tensors)}, got {', '.join(shapes)}"
        )
    shape = list(shapes[last])
    if task.family == CellsLast.name:
        rows, columns, dimension = shape[1:]
        logits = graph.reshaped(names[first], *shapes[first][1:])
        descriptors = graph.op("Transpose", graph.reshaped(names[last], *shape[1:]), perm=[2, 0, 1])
        return heatmap_of_cells(graph, logits, rows, columns), descriptors, (dimension, rows, columns), CELL_PX
    dimension, rows, columns = shape[1:]
    grid = dimension, rows, columns
    descriptors = graph.reshaped(names[last], *grid)
    if task.family == ScoreMap.name:
        height, width = shapes[first][-2:]
        scores = graph.reshaped(names[first], height, width)
        heatmap = scores if task.activated else graph.op("Sigmoid", scores)
        return graph.zero_unless(graph.finite(heatmap), heatmap), descriptors, grid, height // rows
    if task.family not in (Cells.name, CellsReliability.name):
        raise UsageError(f"decoding graph: nothing is known of the family {task.family}; use decoding numpy")
    logits = graph.op("Transpose", graph.reshaped(names[first], *shapes[first][1:]), perm=[1, 2, 0])
    heatmap = heatmap_of_cells(graph, logits, rows, columns)
    if task.family == CellsReliability.name:
        size = graph.whole([1, 1, rows * CELL_PX, columns * CELL_PX])
        spread = graph.op(
            "Resize",
            names[task.form.tensors[1]],
            "",
            "",
            size,
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
        heatmap = graph.op("Mul", heatmap, graph.reshaped(spread, rows * CELL_PX, columns * CELL_PX))
        heatmap = graph.zero_unless(graph.finite(heatmap), heatmap)
    return heatmap, descriptors, grid, CELL_PX


def _append_scaling(graph: Arithmetic, levels: str, preprocess: Preprocess) -> None:
    """A tensor's values, (level − mean) · scale, in float32; within a rounding of those of ``Preprocess``."""
    means, scales = (np.atleast_1d(np.asarray(values, np.float64)) for values in (preprocess.mean, preprocess.scale))
    shape = (1, -1, 1, 1) if preprocess.layout == "nchw" else (1, 1, 1, -1)
    values = graph.as_number(levels)
    if means.any():
        values = graph.op("Sub", values, graph.number(means.reshape(shape)))
    graph.edit.op("Mul", values, graph.number(scales.reshape(shape)), output=f"{PREFIX}_scaled")


def _require_opset(model: onnx.ModelProto) -> None:
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise UsageError(f"decoding graph: expected opset {OLDEST_OPSET} or later, got {opset}; use decoding numpy")
