"""The blob's stage of ``verify`` on healthy blobs, and on each way in which a blob is known to go wrong."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from device_form import device_form
from numpy.typing import NDArray
from onnx import helper

from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.interface import image_interface
from oakpoint.bundle.records import DeviceRecord, StageReport, Verdict
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import write_blob
from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.keypoints.heads import registry as heads
from oakpoint.tasks.keypoints.heads.base import Heads
from oakpoint.tasks.keypoints.heads.dense import Dense
from oakpoint.tasks.keypoints.task import INPUT, Keypoints, superpoint_preprocess

pytestmark = [pytest.mark.shared, pytest.mark.compiler]

SIZE = (320, 200)
FAULTS = ("dropped copy", "shifted copy", "missing ReLU", "flipped weight bit")


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    path = Path(__file__).parents[1] / "unit" / "myriad" / "faults.py"
    specification = importlib.util.spec_from_file_location("faults", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def judge(superpoint_bundle: Path, photographs: dict[str, NDArray[np.uint8]]) -> Callable[[Path], StageReport]:
    """Verify a blob against SuperPoint's ONNX on a photograph."""
    images = dict(islice(photographs.items(), 1))
    task = Keypoints(decode=DecodeOptions.preset("superpoint"))
    verifier = StageVerifier(images, image_interface(INPUT, superpoint_preprocess(SIZE)), task)
    onnx_path = superpoint_bundle / "model.onnx"
    return lambda blob: verifier.blob_of_onnx(ModelSource(onnx=onnx_path, blob=blob), DeviceRecord())


def test_healthy_blob_passes_and_says_what_that_means(
    judge: Callable[[Path], StageReport], superpoint_bundle: Path
) -> None:
    report = judge(superpoint_bundle / "model.blob")
    assert report.verdict is Verdict.PASS
    assert "Not shown" in report.claim
    assert (report.figures or {})["keypoints in common at 0 px"] >= 0.98
    assert (report.figures or {})["constants as in the device graph"] == 1
    assert (report.figures or {})["share of the constants compared"] == 1


@pytest.mark.slow
def test_heads_for_rtabmap_pass(judge: Callable[[Path], StageReport], superpoint_rtabmap_bundle: Path) -> None:
    assert judge(superpoint_rtabmap_bundle / "model.blob").verdict is Verdict.PASS


@pytest.mark.slow
@pytest.mark.parametrize("shaves", [5, 6, 10])
def test_third_party_blobs_pass(judge: Callable[[Path], StageReport], shared: Path, shaves: int) -> None:
    assert judge(shared / "blobs" / f"superpoint_200x320_{shaves}shave.blob").verdict is Verdict.PASS


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_injected_fault_fails(
    judge: Callable[[Path], StageReport], faults: ModuleType, superpoint_bundle: Path, tmp_path: Path, fault: str
) -> None:
    broken = tmp_path / "broken.blob"
    broken.write_bytes(faults.FAULTS[fault]((superpoint_bundle / "model.blob").read_bytes(), 20))
    report = judge(broken)
    assert report.verdict is Verdict.FAIL
    assert "look for" in report.summary


def test_blob_without_the_scale_fails_and_says_what_to_look_for(
    judge: Callable[[Path], StageReport], superpoint_bundle: Path, tmp_path: Path
) -> None:
    source, blob = superpoint_bundle / "model.onnx", tmp_path / "unscaled.blob"
    write_blob(source, blob, *device_form(source, SIZE, scale=1.0), shaves=6)
    report = judge(blob)
    assert report.verdict is Verdict.FAIL
    assert "input scale" in report.summary or "overflow" in report.summary


class Overflowing(Dense):
    """Descriptors normalised on the device as they are, whatever their size."""

    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        for node in graph.node:
            node.output[:] = ["desc_raw" if name == "desc" else name for name in node.output]
        graph.node.append(helper.make_node("ReduceL2", ["desc_raw"], ["norm"], axes=[1], keepdims=1))
        graph.node.append(helper.make_node("Div", ["desc_raw", "norm"], ["desc"]))


@pytest.mark.slow
def test_blob_whose_normalisation_overflows_fails_and_says_what_to_look_for(
    judge: Callable[[Path], StageReport], superpoint_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(heads.HEADS, "overflowing", Overflowing())
    source, blob = superpoint_bundle / "model.onnx", tmp_path / "overflow.blob"
    write_blob(source, blob, *device_form(source, SIZE, heads=Heads("overflowing")), shaves=6)
    report = judge(blob)
    assert report.verdict is Verdict.FAIL
    assert "overflow" in report.summary


def test_truncated_blob_fails_without_a_traceback(
    judge: Callable[[Path], StageReport], superpoint_bundle: Path, tmp_path: Path
) -> None:
    blob = tmp_path / "cut.blob"
    blob.write_bytes((superpoint_bundle / "model.blob").read_bytes()[:100_000])
    report = judge(blob)
    assert report.verdict is Verdict.FAIL
    assert "cut.blob" in report.summary
