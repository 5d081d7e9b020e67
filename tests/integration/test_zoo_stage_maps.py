"""Networks that nobody made for this project: every stage has a name, and every tensor's values lie where the map says.

The values come from ONNX Runtime, which runs the device graph in float32 with every tensor of the map as an output.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zoo
from numpy.typing import NDArray
from onnx import helper
from rewritten import run

from oakpoint.bundle.records import StageReport
from oakpoint.chain.listener import Listener
from oakpoint.chain.make_blob import make_device_graph
from oakpoint.chain.make_onnx import make_onnx
from oakpoint.chain.making import Making
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.convert.device_graph import DeviceGraph, in_float32
from oakpoint.models.naming import model_of
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.format import DataType
from oakpoint.myriad.simulator import Simulator
from oakpoint.myriad.simulator.memory import Memory
from oakpoint.myriad.stage_map import MappedTensor

pytestmark = [pytest.mark.compiler, pytest.mark.slow]

NETWORKS = ("MobileNetV2", "OddUNet", "SegFormer", "RecurrentRecogniser", "YoloV5", "YoloV8", "StereoCost", "WithPrior")
"""Tiled and padded layers, views and concatenations, transformers, loops spelt out, activations that the compiler moves
before a reshape, and several inputs."""

Arrays = dict[str, NDArray[Any]]


class Silent(Listener):
    def started(self, step: str) -> None:
        pass

    def finished(self, step: str, seconds: float, note: str, report: StageReport | None) -> None:
        pass


def graph_of(member: zoo.Member, folder: Path) -> DeviceGraph:
    model = member.export(folder / "network.onnx")
    options = ConversionOptions(model=str(model), to="blob")
    making = Making(options, model_of(str(model), options.said).origin(None), Silent())
    making.verifier = StageVerifier({}, making.interface, making.task)
    making.folder = folder
    make_onnx(making)
    make_device_graph(making)
    assert making.device_graph is not None
    return making.device_graph


def inputs_of(blob: Blob) -> Arrays:
    random = np.random.default_rng(3)
    values = {tensor.name: random.integers(0, 256, tensor.shape) for tensor in blob.inputs}
    return {
        tensor.name: values[tensor.name].astype(np.uint8)
        if tensor.dtype is DataType.U8
        else (values[tensor.name] / 256).astype(np.float16)
        for tensor in blob.inputs
    }


def expected_of(graph: DeviceGraph, tensors: Sequence[MappedTensor], inputs: Arrays) -> Arrays:
    """The values of the tensors that are the network's own, by name."""
    model = in_float32(graph)
    made = {name for node in model.graph.node for name in node.output}
    put_out = {output.name for output in model.graph.output}
    wanted = sorted({tensor.name for tensor in tensors} & made - put_out)
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    return run(model, {name: values.astype(np.float32) for name, values in inputs.items()})


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_of_the_map_holds_the_values_of_the_network(name: str, tmp_path: Path) -> None:
    graph = graph_of(next(member for member in zoo.MEMBERS if member.name == name), tmp_path)
    compiled = compile_graph(graph, tmp_path / "model.blob", shaves=6)
    assert compiled.stages is not None, compiled.unmapped
    blob, mapped = read_blob(tmp_path / "model.blob"), compiled.stages
    stages = list(blob.all_stages())
    assert [stage.type for stage in mapped.stages] == [stage.name for stage in stages]
    assert all(stage.layer or stage.type in ("Convert", "Copy") for stage in mapped.stages)
    inputs = inputs_of(blob)
    expected = expected_of(graph, mapped.tensors, inputs)
    seen: list[tuple[MappedTensor, Arrays]] = []

    def look(place: int, memory: Memory) -> None:
        now = [t for t in mapped.tensors if place in (t.last_write, t.last_read - 1) and place >= t.last_write]
        seen.extend((tensor, memory.view(tensor.buffer).astype(np.float32)) for tensor in now)

    Simulator(blob, threads=1).run_watched(inputs, look)
    compared = {tensor.name for tensor, _ in seen} & set(expected)
    assert len(compared) >= len(graph.model.graph.node) / 4, "most layers but those computed with others leave a tensor"
    for tensor, values in seen:
        if tensor.name in expected:
            right = expected[tensor.name]
            assert values.shape == right.shape, tensor
            np.testing.assert_allclose(values, right, atol=0.02 * np.abs(right).max(), rtol=0, err_msg=str(tensor))
