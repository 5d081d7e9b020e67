"""Device graphs with the faults of an image input that verification has to catch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from oakpoint.convert.device_graph import DeviceInput
from oakpoint.convert.graph_edit import rename_tensor


def without_scale(given: DeviceInput) -> DeviceInput:
    """The best-known fault: the network gets 0–255 as they are."""
    return replace(given, scale=1.0, mean=0.0)


def without_mean(given: DeviceInput) -> DeviceInput:
    """The mean is forgotten."""
    return replace(given, mean=0.0)


def channels_swapped(model: onnx.ModelProto) -> onnx.ModelProto:
    """A device graph that takes BGR for RGB: the last channel of the image comes first."""
    model = _copy(model)
    graph = model.graph
    image = graph.input[0].name
    rename_tensor(graph, image, f"{image}_swapped")
    graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "swapped_order"))
    graph.node.insert(0, helper.make_node("Gather", [image, "swapped_order"], [f"{image}_swapped"], axis=1))
    return model


def mean_over_border(model: onnx.ModelProto) -> onnx.ModelProto:
    """A device graph whose mean is in the bias of a convolution that pads: its border is darker than the host's.

    Of a graph that ``device_graph`` made: the ``Add`` before the first convolution goes, into that one's bias.
    """
    model = _copy(model)
    graph = model.graph
    image = graph.input[0].name
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    add = next(node for node in graph.node if node.op_type == "Add" and image in node.input)
    offset = numpy_helper.to_array(tensors[next(name for name in add.input if name != image)]).astype(np.float64)
    for node in graph.node:
        if node.input[:1] != [add.output[0]]:
            continue
        assert node.op_type == "Conv", "expected convolutions alone behind the mean"
        weights = numpy_helper.to_array(tensors[node.input[1]])
        each = np.broadcast_to(offset.reshape(1, -1), (1, weights.shape[1])).reshape(1, -1, 1, 1)
        added = (weights.astype(np.float64) * each).sum((1, 2, 3))
        before = numpy_helper.to_array(tensors[node.input[2]]) if len(node.input) > 2 else 0
        bias = numpy_helper.from_array((before + added).astype(weights.dtype), f"{node.output[0]}_darkened")
        graph.initializer.append(bias)
        node.input[0] = image
        node.input[2:] = [bias.name]
    graph.node.remove(add)
    return model


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(model.SerializeToString())
