"""A detector and a U-Net whose device graphs have a fault each: the blob that is compiled of it has to fail ``verify``.

The blob lies in a bundle that is healthy otherwise, and whose manifest was made to fit: no hash gives it away. The same
device graph in ONNX Runtime has to fail as well, by its outputs alone: there nothing compares constants.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import faults
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from task_networks import SIZE

from oakpoint.bundle.folder import Bundle, open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.convert.device_graph import DeviceGraph, device_graph, device_inputs
from oakpoint.files import sha256_of_file
from oakpoint.models.base import ModelOptions
from oakpoint.models.inputs import ImageOptions, InputOptions
from oakpoint.tasks.base import AS_THEY_ARE
from oakpoint.tasks.registry import task_of_bundle
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE

pytestmark = [pytest.mark.compiler, pytest.mark.slow]

MEAN, SCALE = (123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)
IMAGE = ImageOptions(colour="rgb", mean=MEAN, scale=SCALE, resize="letterbox")
NETWORKS = {"detector": ("ChannelsFirstDetector", "yolo"), "u-net": ("SmallUNet", AS_THEY_ARE)}


CONSTANTS = "constants as in the device graph"


@dataclass(frozen=True)
class Subject:
    """A healthy bundle and what is needed to make another device graph of its network."""

    bundle: Bundle

    def verifier(self, images: Path) -> StageVerifier:
        return StageVerifier(load_photographs(images), self.bundle.manifest.interface, task_of_bundle(self.bundle))

    def graph(self, model: onnx.ModelProto | None = None, folder: Path | None = None, **preprocess: Any) -> DeviceGraph:
        """The device graph, of the network's ONNX or another one, as if its image wanted something else."""
        manifest = self.bundle.manifest
        source = self.bundle.path("onnx")
        if model is not None:
            assert folder is not None
            source = folder / "changed.onnx"
            onnx.save(model, source)
        image = replace(manifest.interface.image, **preprocess)
        heads = task_of_bundle(self.bundle).device_rewrites(manifest.device, manifest.interface)
        return device_graph(source, device_inputs(manifest.interface.with_preprocess(image)), heads)


Fault: TypeAlias = Callable[[Subject, Path], DeviceGraph]


# --- faults: each makes a device graph -------------------------------------------------------------------------------


def missing_scale(subject: Subject, folder: Path) -> DeviceGraph:
    return subject.graph(scale=1.0)


def numbers_of_bgr(subject: Subject, folder: Path) -> DeviceGraph:
    """Mean and scale of red taken for blue: they differ by a tenth."""
    return subject.graph(mean=MEAN[::-1], scale=SCALE[::-1])


def swapped_colours(subject: Subject, folder: Path) -> DeviceGraph:
    """Red and blue in each other's place before anything else."""
    graph = subject.graph()
    faults.swapped_colours(graph.model.graph)
    return graph


def channels_last(subject: Subject, folder: Path) -> DeviceGraph:
    """The bytes of a (1, 3, H, W) image read as if they were (1, H, W, 3)."""
    graph = subject.graph()
    faults.read_as_channels_last(graph.model.graph, SIZE)
    return graph


def swapped_classes(subject: Subject, folder: Path) -> DeviceGraph:
    """Two channels of the last output, of classes, in each other's place."""
    graph = subject.graph()
    output = graph.model.graph.output[-1]
    channels = np.arange(output.type.tensor_type.shape.dim[1].dim_value)
    channels[[-1, -2]] = channels[[-2, -1]]
    faults.rename(graph.model.graph, output.name, "unswapped")
    graph.model.graph.initializer.append(numpy_helper.from_array(channels, "channels"))
    graph.model.graph.node.append(helper.make_node("Gather", ["unswapped", "channels"], [output.name], axis=1))
    return graph


def swapped_outputs(subject: Subject, folder: Path) -> DeviceGraph:
    """Two outputs under each other's name; of a network with one, two classes."""
    graph = subject.graph()
    if len(graph.model.graph.output) == 1:
        return swapped_classes(subject, folder)
    faults.swap_outputs(graph.model.graph)
    return graph


def high_bit(subject: Subject, folder: Path) -> DeviceGraph:
    """The lowest bit of the exponent of the last convolution's largest weight: it doubles or halves."""
    return _flipped(subject.graph(), -1, 10)


def low_bit(subject: Subject, folder: Path) -> DeviceGraph:
    """The lowest bit of a weight in the middle, which no output shows."""
    return _flipped(subject.graph(), 1, 0)


def mean_over_border(subject: Subject, folder: Path) -> DeviceGraph:
    """The mean in the first convolution's bias: what is padded with zeros afterwards is darkened."""
    model = onnx.load(subject.bundle.path("onnx"))
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    weights, bias = (next(t for t in model.graph.initializer if t.name == name) for name in first.input[1:3])
    assert any(next(a.ints for a in first.attribute if a.name == "pads"))
    offset = (numpy_helper.to_array(weights) * (np.array(MEAN) * SCALE)[:, np.newaxis, np.newaxis]).sum((1, 2, 3))
    bias.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(bias) - offset).astype(np.float32), bias.name))
    return subject.graph(model, folder, mean=0.0)


def _flipped(graph: DeviceGraph, which: int, bit: int) -> DeviceGraph:
    """One bit of the largest weight of a convolution."""
    faults.flipped_bit(which, bit)(graph.model.graph)
    return graph


# --- what verification says of them ----------------------------------------------------------------------------------

EVERYWHERE = "a wrong scale, mean or order of the channels"
ALTERED = "or was altered"

FAULTS: dict[str, tuple[Fault, str, str]] = {
    "missing scale": (missing_scale, EVERYWHERE, EVERYWHERE),
    "mean and scale of BGR": (numbers_of_bgr, EVERYWHERE, EVERYWHERE),
    "swapped colours": (swapped_colours, EVERYWHERE, EVERYWHERE),
    "channels last": (channels_last, EVERYWHERE, EVERYWHERE),
    "swapped outputs": (swapped_outputs, "outputs in another order", "outputs in another order"),
    "swapped classes": (swapped_classes, "in another order", "in another order"),
    "a high bit of a weight": (high_bit, "altered weight", ALTERED),
    "a low bit of a weight": (low_bit, "", ALTERED),
    "mean over a padded border": (mean_over_border, EVERYWHERE, EVERYWHERE),
}
"""Fault → what makes it; what the device graph's report says; what the blob's says. Rounding hides a low bit from the
first, which compares outputs alone."""


@pytest.fixture(scope="module", params=NETWORKS)
def subject(
    request: pytest.FixtureRequest, converted: Callable[..., Path], task_onnx: Callable[[str], Path]
) -> Subject:
    network, heads = NETWORKS[request.param]
    said = ModelOptions(inputs=InputOptions(image=IMAGE))
    model = str(task_onnx(network))
    folder = converted(f"faults-{request.param}", model=model, size=SIZE, to="blob", heads=heads, said=said)
    return Subject(open_bundle(folder))


def test_nothing_is_wrong_without_a_fault(subject: Subject) -> None:
    assert set(subject.bundle.manifest.verdicts.values()) == {Verdict.PASS}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_device_graph_fails_by_its_outputs(
    subject: Subject, image_folder: Path, tmp_path: Path, fault: str
) -> None:
    make, said, _ = FAULTS[fault]
    graph = make(subject, tmp_path)
    report = subject.verifier(image_folder).device_graph_of_onnx(
        subject.bundle.path("onnx"), graph, subject.bundle.manifest.device
    )
    assert report.stage == DEVICE_STAGE
    assert report.verdict is (Verdict.FAIL if said else Verdict.PASS), report.summary
    assert said in report.summary


@pytest.mark.parametrize("fault", FAULTS)
def test_a_blob_of_a_faulty_device_graph_fails_verify(
    subject: Subject, command: Callable[..., Any], image_folder: Path, tmp_path: Path, fault: str
) -> None:
    make, shows_in_outputs, said = FAULTS[fault]
    bundle = tmp_path / "bundle"
    shutil.copytree(subject.bundle.folder, bundle)
    compile_graph(make(subject, tmp_path), bundle / "model.blob", shaves=6)
    manifest = bundle / "manifest.json"
    old, new = sha256_of_file(subject.bundle.path("blob")), sha256_of_file(bundle / "model.blob")
    assert old != new
    manifest.write_text(manifest.read_text().replace(old, new))
    ran = command("verify", bundle, "--images", image_folder, "--json")
    assert (ran.code, ran.errors) == (1, [])
    reports = {report["stage"]: report for report in json.loads(ran.out)["stages"]}
    verdicts = {stage: report["verdict"] for stage, report in reports.items()}
    assert verdicts == {IR_STAGE: "pass", DEVICE_STAGE: "pass", BLOB_STAGE: "fail"}
    assert said in reports[BLOB_STAGE]["summary"]
    failed = {check["name"] for check in reports[BLOB_STAGE]["checks"] if not check["passed"]}
    assert (failed > {CONSTANTS} or CONSTANTS not in failed) is bool(shows_in_outputs), "outputs tell it by themselves"
