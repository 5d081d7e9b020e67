"""Faults that are put into a form of a network one at a time: for tests of what finds them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from oakpoint.bundle.folder import open_bundle
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.convert.device_graph import DeviceGraph
from oakpoint.files import sha256_of_file
from oakpoint.models.bundle_folder import device_graph_of

GraphFault = Callable[[onnx.GraphProto], str]
"""Changes a graph, and says which tensor is the first that a healthy layer does not give."""


def copied(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle."""
    return Path(shutil.copytree(bundle, folder / "faulty"))


def as_if_healthy(bundle: Path, name: str) -> None:
    """Let a manifest fit a file that was replaced: no hash gives it away."""
    manifest = bundle / "manifest.json"
    text = manifest.read_text()
    artifacts = json.loads(text)["artifacts"]
    old = next(artifact["files"][name] for artifact in artifacts if name in artifact["files"])
    new = sha256_of_file(bundle / name)
    assert old != new, "the fault changed nothing"
    manifest.write_text(text.replace(old, new))


def in_onnx(bundle: Path, fault: GraphFault) -> str:
    """Put a fault into a bundle's ONNX alone."""
    path = bundle / "model.onnx"
    model = onnx.load(path)
    tensor = fault(model.graph)
    onnx.save(model, path)
    as_if_healthy(bundle, path.name)
    return tensor


def in_ir(bundle: Path, fault: GraphFault) -> str:
    """Make a bundle's IR from a faulty ONNX."""
    from oakpoint.convert.ir_from_onnx import write_ir

    opened = open_bundle(bundle)
    model = onnx.load(opened.path("onnx"))
    tensor = fault(model.graph)
    onnx.save(model, bundle.parent / "faulty.onnx")
    interface = opened.manifest.interface.at(opened.manifest.interface.size)
    write_ir(bundle.parent / "faulty.onnx", bundle / "model.xml", input_shapes=[s.shape for s in interface.tensors])
    for name in ("model.xml", "model.bin"):
        if sha256_of_file(bundle / name) not in (bundle / "manifest.json").read_text():
            as_if_healthy(bundle, name)
    return tensor


def in_blob(bundle: Path, fault: GraphFault | None, graph: DeviceGraph | None = None) -> str:
    """Compile a bundle's blob from a faulty device graph."""
    graph = graph or device_graph_of(open_bundle(bundle))
    tensor = fault(graph.model.graph) if fault is not None else ""
    compile_graph(graph, bundle / "model.blob", shaves=6)
    as_if_healthy(bundle, "model.blob")
    return tensor


def in_bytes(bundle: Path, change: Callable[[bytearray], None]) -> None:
    """Change bytes of a bundle's blob."""
    path = bundle / "model.blob"
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(bytes(data))
    as_if_healthy(bundle, path.name)


# --- faults of a graph ----------------------------------------------------------------------------------------------


def nodes_of(graph: onnx.GraphProto, *operators: str) -> list[onnx.NodeProto]:
    """The layers of these types, in order."""
    return [node for node in graph.node if node.op_type in operators]


def flipped_bit(which: int, bit: int) -> GraphFault:
    """One bit of the largest weight of the so-manyth convolution; bits are counted from the lowest of the type."""

    def fault(graph: onnx.GraphProto) -> str:
        node = nodes_of(graph, "Conv")[which]
        tensor = next(t for t in graph.initializer if t.name == node.input[1])
        values = numpy_helper.to_array(tensor).copy()
        words = values.view(f"u{values.dtype.itemsize}")
        words.flat[np.abs(values).argmax()] ^= words.dtype.type(1 << bit)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return str(node.output[0])

    return fault


def dropped(which: int, *operators: str) -> GraphFault:
    """The so-manyth layer of these types does nothing."""

    def fault(graph: onnx.GraphProto) -> str:
        node = nodes_of(graph, *operators)[which]
        made = str(node.output[0])
        node.CopyFrom(helper.make_node("Identity", [node.input[0]], [made], name=node.name))
        return made

    return fault


def wrong_pad(which: int) -> GraphFault:
    """The so-manyth convolution that pads does all of it at the bottom and at the right."""

    def fault(graph: onnx.GraphProto) -> str:
        padded = [n for n in nodes_of(graph, "Conv") if any(a.name == "pads" and any(a.ints) for a in n.attribute)]
        node = padded[which]
        pads = next(a for a in node.attribute if a.name == "pads")
        top, left, bottom, right = pads.ints
        del pads.ints[:]
        pads.ints.extend([0, 0, top + bottom, left + right])
        return str(node.output[0])

    return fault


def scaled(which: int, factor: float) -> GraphFault:
    """The weights and biases of the so-manyth convolution times a factor."""

    def fault(graph: onnx.GraphProto) -> str:
        node = nodes_of(graph, "Conv")[which]
        for tensor in graph.initializer:
            if tensor.name in node.input[1:]:
                values = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array((values * factor).astype(values.dtype), tensor.name))
        return str(node.output[0])

    return fault


def swapped_channels(which: int) -> GraphFault:
    """The first two output channels of the so-manyth convolution in each other's place."""

    def fault(graph: onnx.GraphProto) -> str:
        node = nodes_of(graph, "Conv")[which]
        for tensor in graph.initializer:
            if tensor.name in node.input[1:]:
                values = numpy_helper.to_array(tensor).copy()
                values[[0, 1]] = values[[1, 0]]
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return str(node.output[0])

    return fault


def swapped_colours(graph: onnx.GraphProto) -> str:
    """Red and blue in each other's place before anything else."""
    image = graph.input[0].name
    rename(graph, image, "recoloured")
    graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "colours"))
    graph.node.insert(0, helper.make_node("Gather", [image, "colours"], ["recoloured"], axis=1))
    return str(nodes_of(graph, "Conv")[0].output[0])


def read_as_channels_last(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    """The bytes of a (1, 3, H, W) image read as if they were (1, H, W, 3)."""
    image = graph.input[0].name
    rename(graph, image, "reordered")
    graph.initializer.append(numpy_helper.from_array(np.array([1, size[1], size[0], 3]), "read_as"))
    graph.node.insert(0, helper.make_node("Reshape", [image, "read_as"], ["misread"]))
    graph.node.insert(1, helper.make_node("Transpose", ["misread"], ["reordered"], perm=[0, 3, 1, 2]))


def swap_outputs(graph: onnx.GraphProto) -> tuple[str, str]:
    """The first two outputs under each other's name, which is returned."""
    first, second = graph.output[:2]
    names = first.name, second.name
    for old, new in ((names[0], "kept"), (names[1], names[0]), ("kept", names[1])):
        rename(graph, old, new)
    first.name, second.name = second.name, first.name
    return names


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Give a tensor another name, but for the graph's inputs and outputs."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Set an attribute of a layer."""
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
