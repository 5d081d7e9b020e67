"""Every kind of heads through the whole chain: compiled, executed, decoded by the same code, carried in the archive."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from device_form import device_form
from numpy.typing import NDArray
from onnx import helper

import oakpoint
from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.interface import image_interface
from oakpoint.bundle.records import DeviceRecord, Verdict
from oakpoint.chain.conversion import convert
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.convert.onnx_from_torch import write_onnx
from oakpoint.errors import ConversionError
from oakpoint.features.types import DecodeOptions
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.simulator.prepare import PREPARATIONS
from oakpoint.networks.registry import load_network
from oakpoint.tasks.keypoints.heads.base import Heads
from oakpoint.tasks.keypoints.heads.measured import measured_descriptor_scale
from oakpoint.tasks.keypoints.task import INPUT, Keypoints, superpoint_preprocess
from oakpoint.tasks.keypoints.task import OUTPUTS as OUTPUT_NAMES
from oakpoint.verify.tolerances import BLOB_STAGE

SMALL, SMALL_SIZE = "small_network:SmallNetwork", (160, 120)

OUTPUTS = {
    "heatmap": {"heatmap": ((1, 120, 160), "float16"), "descriptors": ((1, 16, 15, 20), "float16")},
    "normalised": {"heatmap": ((1, 120, 160), "float16"), "descriptors": ((1, 16, 15, 20), "float16")},
    "packed": {"heatmap_packed": ((1, 16, 15, 20), "int32"), "descriptors_packed": ((1, 4, 15, 20), "int32")},
    "rtabmap": {"heatmap": ((1, 120, 160), "float16"), "desc": ((1, 15, 20, 16), "float16")},
}


@pytest.mark.compiler
@pytest.mark.parametrize(
    "heads",
    [pytest.param(heads, marks=[pytest.mark.slow] if heads in ("normalised", "rtabmap") else []) for heads in OUTPUTS],
)
def test_small_network(converted: Callable[..., Path], photographs: dict[str, NDArray[np.uint8]], heads: str) -> None:
    folder = converted(f"small-{heads}", model=SMALL, seed=0, size=SMALL_SIZE, heads=heads)
    manifest = open_bundle(folder).manifest
    assert manifest.verdicts[BLOB_STAGE] is Verdict.PASS
    assert {s.name: (s.shape, s.dtype) for s in manifest.artifact("blob").interface.outputs} == OUTPUTS[heads]
    blob = read_blob(folder / "model.blob")
    assert {t.name: t.shape for t in blob.outputs} == {name: shape for name, (shape, _) in OUTPUTS[heads].items()}
    with tarfile.open(folder / "model.rvc2.tar.xz") as archive:
        member = archive.extractfile("config.json")
        assert member is not None
        model = json.load(member)["model"]
    assert model["heads"][0]["metadata"]["heads"] == heads
    assert {o["name"]: (tuple(o["shape"]), o["dtype"]) for o in model["outputs"]} == OUTPUTS[heads]
    with oakpoint.load(folder) as host, oakpoint.load(folder, backend="myriad_simulator") as device:
        expected, got = host(photographs["camera"]), device(photographs["camera"])
    common = set(map(tuple, expected.keypoints.tolist())) & set(map(tuple, got.keypoints.tolist()))
    assert len(common) >= 0.9 * len(expected) > 0


@pytest.mark.compiler
def test_packed_takes_half_the_bytes(converted: Callable[..., Path]) -> None:
    sizes = {
        heads: read_blob(converted(f"small-{heads}", model=SMALL, seed=0, size=SMALL_SIZE, heads=heads) / "model.blob")
        for heads in ("heatmap", "packed")
    }
    assert sizes["packed"].header.outputs_size == sizes["heatmap"].header.outputs_size / 2


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.compiler
@pytest.mark.parametrize("heads", ["heatmap", "normalised", "packed", "reduced"])
def test_superpoint(converted: Callable[..., Path], superpoint_weights: Path, heads: str) -> None:
    folder = converted(
        f"superpoint-{heads}", model="superpoint", weights=superpoint_weights, size=(320, 200), heads=heads
    )
    manifest = open_bundle(folder).manifest
    assert manifest.verdicts[BLOB_STAGE] is Verdict.PASS
    assert manifest.device.measured.get("descriptor_scale") == (2.0**-6 if heads == "normalised" else None)
    if heads == "reduced":  # 96 on eight photographs; here are two
        assert manifest.device.measured.get("descriptor_values") in (80, 88, 96)
    else:
        assert manifest.device.measured.get("descriptor_values") is None


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("heads", ["dense", "heatmap", "normalised", "packed", "rtabmap"])
def test_acorn(converted: Callable[..., Path], heads: str) -> None:
    """Flatter maxima and shorter descriptors than SuperPoint's: the tolerances hold for them, too."""
    folder = converted(f"acorn-{heads}", model="acorn", size=(320, 200), heads=heads)
    assert open_bundle(folder).manifest.verdicts[BLOB_STAGE] is Verdict.PASS


@pytest.mark.compiler
def test_acorn_uses_all_its_descriptor_values(converted: Callable[..., Path]) -> None:
    with pytest.raises(ConversionError, match="use all of their 64 values"):
        converted("acorn-reduced", model="acorn", size=(320, 200), heads="reduced")


def with_descriptors_times(source: Path, target: Path, factor: float) -> Path:
    """The model with weights and bias of its last descriptor convolution multiplied."""
    model = onnx.load(source)
    (node,) = (node for node in model.graph.node if "desc" in node.output)
    for tensor in model.graph.initializer:
        if tensor.name in node.input[1:]:
            values = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))
    onnx.save(model, target)
    return target


@pytest.mark.compiler
@pytest.mark.parametrize("factor", [1e-4, pytest.param(1e4, marks=pytest.mark.slow)])
def test_norms_far_from_superpoints_are_measured_and_scaled(
    small_onnx: Path, tmp_path: Path, photographs: dict[str, NDArray[np.uint8]], factor: float
) -> None:
    source = with_descriptors_times(small_onnx, tmp_path / "m.onnx", factor)
    images, preprocess = {"camera": photographs["camera"]}, superpoint_preprocess(SMALL_SIZE)
    scale, largest = measured_descriptor_scale(source, images, preprocess)
    assert not 0.25 <= largest <= 64, "the test is about norms that need a scale"
    assert 32 <= largest * scale <= 64
    task = Keypoints(decode=DecodeOptions.preset("superpoint"))
    verifier = StageVerifier(images, image_interface(INPUT, preprocess), task)
    verdicts = {}
    for name, chosen in (("measured", scale), ("superpoints", 2.0**-6)):
        blob = tmp_path / f"{name}.blob"
        heads = Heads("normalised", chosen)
        device = DeviceRecord(heads="normalised", measured={"descriptor_scale": chosen})
        write_blob(source, blob, *device_form(source, SMALL_SIZE, heads=heads), shaves=4)
        verdicts[name] = verifier.blob_of_onnx(ModelSource(onnx=source, blob=blob), device).verdict
    assert verdicts == {"measured": Verdict.PASS, "superpoints": Verdict.FAIL}


@pytest.fixture(scope="session")
def low_rank_onnx(made_once: Callable[..., Path]) -> Path:
    """A network whose descriptors of 32 values lie in 12 dimensions, and a little beside."""
    network = load_network("small_network:LowRankNetwork", None, seed=0).module
    network.reset_describer()
    return made_once(
        "low-rank.onnx",
        lambda path: write_onnx(network, path, size=SMALL_SIZE, input_name=INPUT, output_names=OUTPUT_NAMES),
    )


@pytest.mark.compiler
def test_descriptors_of_a_low_rank_are_reduced_to_what_they_use(
    low_rank_onnx: Path, tmp_path: Path, image_folder: Path, listener: Any, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    options = ConversionOptions(
        model=str(low_rank_onnx), size=SMALL_SIZE, images=image_folder, heads="reduced", to="blob"
    )
    manifest = convert(options, tmp_path / "b", listener).manifest
    assert manifest.device.measured.get("descriptor_values") == 16, "12 dimensions, to a multiple of 8"
    assert manifest.verdicts[BLOB_STAGE] is Verdict.PASS
    assert {s.name: s.shape for s in manifest.artifact("blob").interface.outputs} == {
        "heatmap": (1, 120, 160),
        "descriptors": (1, 16, 15, 20),
    }
    with oakpoint.load(tmp_path / "b") as host, oakpoint.load(tmp_path / "b", backend="myriad_simulator") as device:
        images = photographs["camera"], photographs["camera"][::-1]
        expected, got = (oakpoint.match(*map(extractor, images)) for extractor in (host, device))
    pairs, found = ({tuple(pair) for pair in matches.indices.tolist()} for matches in (expected, got))
    assert len(pairs & found) >= 0.8 * len(pairs) > 0, "distances among reduced descriptors are those of whole ones"


@pytest.mark.compiler
def test_descriptors_that_use_all_their_values_are_not_reduced(
    small_onnx: Path, tmp_path: Path, image_folder: Path, listener: Any
) -> None:
    options = ConversionOptions(model=str(small_onnx), size=SMALL_SIZE, images=image_folder, heads="reduced", to="blob")
    with pytest.raises(ConversionError, match=r"use all of their 16 values: .*; take --heads heatmap"):
        convert(options, tmp_path / "b", listener)
    assert {artifact.kind for artifact in open_bundle(tmp_path / "b").manifest.artifacts} == {"onnx", "ir"}


@pytest.mark.compiler
def test_a_network_that_normalises_itself_needs_no_scale(converted: Callable[..., Path]) -> None:
    folder = converted(
        "normalising-normalised", model="small_network:NormalisingNetwork", seed=0, size=SMALL_SIZE, heads="normalised"
    )
    manifest = open_bundle(folder).manifest
    assert manifest.device.measured.get("descriptor_scale") == 1.0
    assert manifest.verdicts[BLOB_STAGE] is Verdict.PASS


@pytest.mark.compiler
def test_a_stage_that_the_simulator_lacks_is_compiled_and_not_executed(
    small_onnx: Path,
    tmp_path: Path,
    image_folder: Path,
    listener: Any,
    command: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(PREPARATIONS, 140)  # as long as it models every stage that the compiler writes
    model = onnx.load(small_onnx)
    for node in model.graph.node:
        node.output[:] = ["exact" if name == "desc" else name for name in node.output]
    fine = onnx.numpy_helper.from_array(np.array(4096, np.float32), "fine")
    model.graph.initializer.append(fine)
    model.graph.node.append(helper.make_node("Mul", ["exact", "fine"], ["enlarged"]))
    model.graph.node.append(helper.make_node("Round", ["enlarged"], ["whole"]))
    model.graph.node.append(helper.make_node("Div", ["whole", "fine"], ["desc"]))
    onnx.save(model, tmp_path / "rounded.onnx")
    options = ConversionOptions(model=str(tmp_path / "rounded.onnx"), size=SMALL_SIZE, images=image_folder, to="blob")
    result = convert(options, tmp_path / "b", listener)
    report = result.reports[-1]
    assert (report.stage, report.verdict) == (BLOB_STAGE, Verdict.NOTHING_COMPARED)
    assert "compiled, not executed" in report.summary
    assert "(Round): stage type 140 is not modelled" in report.summary
    ran = command("convert", tmp_path / "rounded.onnx", "--size", "160x120", "--images", image_folder, "--to", "blob",
                  "--out", tmp_path / "c")  # fmt: skip
    assert ran.code == 2
    assert "nothing was compared (compiled, not executed: " in ran.err
    ran = command("run", tmp_path / "b", image_folder, "--backend", "myriad_simulator")
    assert ran.code == 1
    assert "cannot be executed: stage" in ran.err
    assert result.manifest.artifact("blob").interface.tensors[0].name == INPUT


@pytest.mark.parametrize(("heads", "warned"), [("rtabmap", True), ("dense", False)])
def test_another_size_than_rtabmaps_is_said(
    command: Callable[..., Any], tmp_path: Path, image_folder: Path, heads: str, warned: bool
) -> None:
    ran = command("convert", SMALL, "--random", "--size", "160x120", "--heads", heads, "--to", "onnx",
                  "--images", image_folder, "--out", tmp_path / "b")  # fmt: skip
    assert ran.code == 0
    assert ("RTAB-Map's driver reads 320x200 and descriptors of 256 values" in ran.err) is warned
