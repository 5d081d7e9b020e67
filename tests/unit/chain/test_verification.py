"""Stages are judged in the form that each model has: the device takes channels first, whatever the host takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.interface import Input, Interface, TensorSpec, image_interface
from oakpoint.bundle.records import DeviceRecord, Verdict
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.convert.device_graph import DeviceGraph, device_graph, device_inputs
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.tensors.task import RawTensors

SIZE = (32, 16)


@pytest.fixture
def channels_last(tmp_path: Path) -> tuple[Path, Interface]:
    """A convolution of an image with channels last, whose mean and scale are the network's own."""
    rng = np.random.default_rng(3)
    arrays = {"w": rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32), "b": rng.normal(0, 1, 4).astype(np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "w", "b"], ["found"], pads=[1, 1, 1, 1]),
        ],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, SIZE[1], SIZE[0], 3))],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, (1, 4, SIZE[1], SIZE[0]))],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    path = tmp_path / "last.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    preprocess = Preprocess(
        size=SIZE,
        resize="stretch",
        interpolation="area",
        colour="rgb",
        mean=(123.7, 116.3, 103.5),
        scale=(0.017, 0.0175, 0.0174),
        layout="nhwc",
    )
    return path, image_interface("image", preprocess, (TensorSpec("found", "float32", (1, 4, SIZE[1], SIZE[0])),))


def verifier(interface: Interface) -> StageVerifier:
    images = {name: np.random.default_rng(7).integers(0, 256, (24, 40, 3), np.uint8) for name in "ab"}
    return StageVerifier(images, interface, RawTensors())


def test_the_device_graph_of_a_network_with_channels_last(channels_last: tuple[Path, Interface]) -> None:
    path, interface = channels_last
    graph = device_graph(path, device_inputs(interface))
    report = verifier(interface).device_graph_of_onnx(path, graph, DeviceRecord())
    assert report.verdict is Verdict.PASS, report.summary


@pytest.mark.compiler
def test_its_blob(channels_last: tuple[Path, Interface], tmp_path: Path) -> None:
    path, interface = channels_last
    compile_graph(device_graph(path, device_inputs(interface)), tmp_path / "m.blob", shaves=6)
    report = verifier(interface).blob_of_onnx(ModelSource(onnx=path, blob=tmp_path / "m.blob"), DeviceRecord())
    assert report.verdict is Verdict.PASS, report.summary


def test_a_graph_that_cannot_be_run_is_called_by_what_it_is(channels_last: tuple[Path, Interface]) -> None:
    path, interface = channels_last
    graph = device_graph(path, device_inputs(interface))
    broken: Any = onnx.ModelProto.FromString(graph.model.SerializeToString())
    broken.graph.node[-1].input[0] = "nowhere"
    report = verifier(interface).device_graph_of_onnx(path, DeviceGraph(model=broken, rewrites=()), DeviceRecord())
    assert report.verdict is Verdict.FAIL
    assert report.summary.startswith("the device graph: ")
    assert "/tmp" not in report.summary


def difference(path: Path, minuend: str, subtrahend: str) -> Path:
    """How far apart two images are."""
    images = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 16, 32)) for name in ("first", "second")]
    found = helper.make_tensor_value_info("found", TensorProto.FLOAT, (1, 3, 16, 32))
    graph = helper.make_graph([helper.make_node("Sub", [minuend, subtrahend], ["found"])], "g", images, [found])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_images_that_are_swapped_on_the_way_are_seen(tmp_path: Path) -> None:
    preprocess = Preprocess(size=SIZE, resize="stretch", interpolation="area", colour="rgb")
    spec = TensorSpec("first", "float32", (1, 3, SIZE[1], SIZE[0]))
    interface = Interface(
        inputs=tuple(Input(tensor=replace(spec, name=name), preprocess=preprocess) for name in ("first", "second")),
        outputs=(replace(spec, name="found"),),
    )
    right, swapped = (difference(tmp_path / f"{n}.onnx", *n.split("-")) for n in ("first-second", "second-first"))
    for model, verdict in ((right, Verdict.PASS), (swapped, Verdict.FAIL)):
        graph = device_graph(model, device_inputs(interface))
        report = verifier(interface).device_graph_of_onnx(right, graph, DeviceRecord())
        assert report.verdict is verdict, report.summary
