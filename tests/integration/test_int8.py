"""INT8 models: made, judged on images held out, run, and refused in one line where there is none."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from int8_networks import HARD, write_wide_range
from numpy.typing import NDArray
from task_networks import SIZE as TASK_SIZE

import oakpoint
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain import int8_homography
from oakpoint.chain.conversion import attempt, convert
from oakpoint.chain.int8_images import FEWEST, int8_images, pixels_sha256
from oakpoint.chain.options import ConversionOptions
from oakpoint.errors import BundleError, ImageError, UsageError
from oakpoint.report.sections.int8 import int8_sections
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.tolerances import INT8_STAGE, IR_STAGE

pytest.importorskip("nncf", reason="INT8 needs the extra int8")

Command = Callable[..., Any]
SMALL, SMALL_SIZE = "small_network:SmallNetwork", (160, 120)


@pytest.fixture(scope="module")
def int8_bundle(made_once: Callable[..., Path], listener: Any) -> Path:
    """The small network's bundle with INT8, of whatever quality its random weights allow."""
    options = ConversionOptions(model=SMALL, seed=0, size=SMALL_SIZE, to="ir", int8=True, int8_loss=0.9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8_homography, "PAIRS", 8)
        return made_once("small-int8", lambda folder: convert(options, folder, listener))


@pytest.fixture(scope="module")
def wide_onnx(made_once: Callable[..., Path]) -> Path:
    return made_once("wide.onnx", write_wide_range)


@pytest.fixture
def folder_of_images(tmp_path: Path, photographs: dict[str, NDArray[np.uint8]]) -> Callable[[int], Path]:
    """A folder of so many small photographs."""

    def make(count: int) -> Path:
        folder = tmp_path / "calibration"
        folder.mkdir()
        names = list(photographs)
        for number in range(count):
            image = cv2.resize(photographs[names[number % len(names)]], (96, 72))
            cv2.imwrite(str(folder / f"{number:03}.png"), image if number < len(names) else image[::-1])
        return folder

    return make


def test_what_is_in_the_bundle(int8_bundle: Path) -> None:
    manifest = open_bundle(int8_bundle).manifest
    artifact, record = manifest.artifact("ir_int8"), manifest.int8
    assert list(artifact.files) == ["model.int8.xml", "model.int8.bin"]
    assert artifact.tool.startswith("nncf ")
    assert artifact.parents == tuple(manifest.artifact("onnx").files.values())
    assert manifest.verdicts[INT8_STAGE] is Verdict.PASS
    assert record is not None
    assert (record.figure, record.bound) == ("matching score lost", 0.9)
    assert not set(record.calibration) & set(record.held_out)
    assert len(record.calibration) == 6
    assert len(record.held_out) == 2
    assert record.layers > 2
    (section,) = int8_sections(manifest)
    text = str(section)
    assert "calibrated on" in text
    assert "gains nothing" in text
    assert not int8_sections(replace(manifest, int8=None))


def test_the_images_that_calibrated_are_known_by_their_pixels(
    int8_bundle: Path, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    record = open_bundle(int8_bundle).manifest.int8
    assert record is not None
    assert record.calibration == {name: pixels_sha256(photographs[name]) for name in record.calibration}


def test_it_runs_and_is_another_model(int8_bundle: Path, photographs: dict[str, NDArray[np.uint8]]) -> None:
    with (
        oakpoint.load(int8_bundle, decoding="numpy") as plain,
        oakpoint.load(int8_bundle, precision="int8", decoding="numpy") as coarse,
    ):
        assert plain.identity() != coarse.identity()
        tensors = [each.tensors(photographs["camera"])[0] for each in (plain, coarse)]
        assert "int8" in coarse.description()
    a, b = (t["semi"] for t in tensors)
    assert 1e-4 < np.abs(a - b).max() / np.abs(a).max() < 0.5


def test_the_graph_computes_in_int8(int8_bundle: Path) -> None:
    from oakpoint.runtimes import import_openvino

    openvino = import_openvino()
    model = openvino.Core().read_model(int8_bundle / "model.int8.xml")
    types = [op.get_element_type().get_type_name() for op in model.get_ops() if op.get_type_name() == "Constant"]
    assert "i8" in types
    assert any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())


def test_two_conversions_give_the_same_bytes(tmp_path: Path, wide_onnx: Path, listener: Any) -> None:
    bytes_of = []
    for name in ("a", "b"):
        options = ConversionOptions(model=str(wide_onnx), to="ir", int8=True)
        bundle = convert(options, tmp_path / name, listener).folder
        bytes_of.append([(bundle / file).read_bytes() for file in ("model.int8.xml", "model.int8.bin")])
    assert bytes_of[0] == bytes_of[1]


def test_a_layer_that_256_steps_do_not_hold_stays_in_float(tmp_path: Path, wide_onnx: Path, listener: Any) -> None:
    outcome = attempt(ConversionOptions(model=str(wide_onnx), to="ir", int8=True), tmp_path / "b", listener)
    assert outcome.conversion is not None
    record = outcome.conversion.manifest.int8
    assert record is not None
    assert record.first_loss > record.bound > record.loss
    assert list(record.in_float) == [HARD]
    assert outcome.conversion.manifest.verdicts[INT8_STAGE] is Verdict.PASS


def test_a_bound_that_cannot_be_met_is_a_failure_that_says_so(
    tmp_path: Path, wide_onnx: Path, command: Command
) -> None:
    ran = command(
        "convert", wide_onnx, "--to", "ir", "--int8", "--int8-loss", "1e-9", "--out", tmp_path / "b", "--json"
    )
    assert ran.code == 1
    facts = json.loads(ran.out)
    stages = {stage["stage"]: stage["verdict"] for stage in facts["stages"]}
    assert stages == {IR_STAGE: "pass", INT8_STAGE: "fail"}
    assert facts["not_made"]["ir_int8"].startswith("it failed its verification: variance not explained ")
    assert set(facts["artifacts"]) == {"onnx", "ir"}
    assert facts["int8"] is None
    with pytest.raises(BundleError, match=r"no ir_int8 .it failed its verification"):
        oakpoint.load(tmp_path / "b", precision="int8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "figure"),
    [
        ("ChannelsFirstDetector", "boxes lost"),
        ("SmallUNet", "pixel accuracy lost"),
        ("ProbableClassifier", "top-1 accuracy lost"),
    ],
)
def test_every_task_has_its_figure(
    network: str, figure: str, task_onnx: Callable[[str], Path], tmp_path: Path, listener: Any
) -> None:
    options = ConversionOptions(model=str(task_onnx(network)), size=TASK_SIZE, to="ir", int8=True, int8_loss=0.2)
    result = convert(options, tmp_path / "b", listener)
    report = next(report for report in result.reports if report.stage == INT8_STAGE)
    assert report.verdict is Verdict.PASS
    check = next(check for check in report.checks if check.name == figure)
    assert 0 <= check.value <= check.limit == 0.2


def test_verify_judges_it_again_on_images_that_did_not_calibrate_it(
    int8_bundle: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_homography, "PAIRS", 8)
    monkeypatch.setitem(sys.modules, "nncf", None)  # is not needed for it
    stages = json.loads(command("verify", int8_bundle, "--json").out)["stages"]
    (stage,) = (stage for stage in stages if stage["stage"] == INT8_STAGE)
    assert stage["verdict"] == "pass"
    assert stage["images"] == 8, "two photographs in four orientations"
    known = open_bundle(int8_bundle).manifest.int8
    assert known is not None
    from oakpoint.images.photographs import photographs_in_wheels

    seen = tmp_path / "seen"
    seen.mkdir()
    for name in known.calibration:
        shutil.copy(photographs_in_wheels()[name], seen)
    stages = json.loads(command("verify", int8_bundle, "--images", seen, "--json").out)["stages"]
    (stage,) = (stage for stage in stages if stage["stage"] == INT8_STAGE)
    assert stage["verdict"] == "nothing compared"
    assert "every image here calibrated it" in stage["summary"]


def test_a_weight_that_was_altered_fails(int8_bundle: Path, tmp_path: Path) -> None:
    from oakpoint.backends.registry import ModelSource
    from oakpoint.chain.verification import StageVerifier
    from oakpoint.tasks.registry import task_of_bundle

    opened = open_bundle(int8_bundle)
    for file in ("model.int8.xml", "model.int8.bin"):
        shutil.copy(int8_bundle / file, tmp_path)
    weights = np.fromfile(tmp_path / "model.int8.bin", np.uint8)
    weights[: len(weights) // 2] ^= 0x40
    weights.tofile(tmp_path / "model.int8.bin")
    verifier = StageVerifier(load_photographs(None), opened.manifest.interface, task_of_bundle(opened))
    record = opened.manifest.int8
    assert record is not None
    source = ModelSource(onnx=opened.path("onnx"), ir=tmp_path / "model.int8.xml")
    report = verifier.int8_of_onnx(source, replace(record, bound=0.02))
    assert report.verdict is Verdict.FAIL


def test_bundles_without_it_networks_and_files_say_so(small_bundle: Path, small_onnx: Path) -> None:
    with pytest.raises(BundleError, match=r"has no ir_int8 .*convert again with --int8"):
        oakpoint.load(small_bundle, precision="int8")
    for model in ("acorn", str(small_onnx)):
        with pytest.raises(UsageError, match="precision int8 is for a bundle that has an INT8 model"):
            oakpoint.load(model, precision="int8")
    with pytest.raises(UsageError, match="runs on the CPU at its own precision, not CPU int8"):
        oakpoint.load(small_bundle, backend="onnxruntime", precision="int8")


def test_a_folder_of_ones_own_calibrates_and_judges(
    wide_onnx: Path, folder_of_images: Callable[[int], Path], tmp_path: Path, listener: Any
) -> None:
    folder = folder_of_images(9)
    (folder / "broken.png").write_bytes(b"no image")
    options = ConversionOptions(model=str(wide_onnx), to="ir", int8=True, calibration=folder)
    record = convert(options, tmp_path / "b", listener).manifest.int8
    assert record is not None
    assert list(record.calibration) == ["000.png", "001.png", "002.png", "004.png", "005.png", "006.png", "008.png"]
    assert record.held_out == ("003.png", "007.png")


def test_an_image_twice_in_the_folder_does_not_judge_itself(
    wide_onnx: Path, folder_of_images: Callable[[int], Path], tmp_path: Path, listener: Any
) -> None:
    folder = folder_of_images(8)
    shutil.copy(folder / "000.png", folder / "003.png")
    options = ConversionOptions(model=str(wide_onnx), to="ir", int8=True, calibration=folder)
    record = convert(options, tmp_path / "b", listener).manifest.int8
    assert record is not None
    assert record.held_out == ("007.png",)


def test_too_few_images_or_none_that_only_judges(
    wide_onnx: Path, folder_of_images: Callable[[int], Path], tmp_path: Path, listener: Any
) -> None:
    folder = folder_of_images(FEWEST - 1)
    options = ConversionOptions(model=str(wide_onnx), to="ir", int8=True, calibration=folder)
    with pytest.raises(ImageError, match=r"calibration: expected 4 images or more that calibrate INT8, got 3"):
        convert(options, tmp_path / "b", listener)
    cv2.imwrite(str(folder / "more.png"), np.zeros((48, 64, 3), np.uint8))
    options = ConversionOptions(model=str(wide_onnx), to="ir", int8=True, calibration=folder, images=folder)
    with pytest.raises(ImageError, match="every image would both calibrate INT8 and judge it"):
        convert(options, tmp_path / "b", listener)
    assert not (tmp_path / "b").exists()


def test_images_that_judge_are_those_that_verify_sees(
    folder_of_images: Callable[[int], Path], photographs: dict[str, NDArray[np.uint8]]
) -> None:
    """Brought to the network's size first, views of them would be views of something coarser."""
    folder = folder_of_images(8)
    found = int8_images(folder, None, (64, 48))
    seen = load_photographs(folder)
    assert {name: image.shape[:2] for name, image in found.judging.items()} == {
        "003.png": (72, 96),
        "007.png": (72, 96),
    }
    for name, image in found.judging.items():
        np.testing.assert_array_equal(image, seen[name])
    assert {image.shape[:2] for image in found.calibrating.values()} == {(48, 64)}
    own = int8_images(None, None, (64, 48)).judging
    assert own
    for name, image in own.items():
        np.testing.assert_array_equal(image, photographs[name])


def test_one_image_many_times_judges_nothing(
    wide_onnx: Path, folder_of_images: Callable[[int], Path], tmp_path: Path, listener: Any
) -> None:
    folder = folder_of_images(1)
    for number in range(5):
        shutil.copy(folder / "000.png", folder / f"again{number}.png")
    options = ConversionOptions(model=str(wide_onnx), to="ir", int8=True, calibration=folder)
    with pytest.raises(ImageError, match="all 6 images have the same pixels; expected different ones"):
        convert(options, tmp_path / "b", listener)


def test_what_cannot_be_meant(command: Command, tmp_path: Path, wide_onnx: Path) -> None:
    given = ("convert", wide_onnx, "--out", tmp_path / "b")
    for further, message in (
        (("--to", "onnx", "--int8"), "int8: is an OpenVINO IR, got --to onnx"),
        (("--calibration", tmp_path), "calibration: is for an INT8 model; add --int8"),
        (("--int8", "--int8-loss", "0"), "int8-loss: expected a share above 0 and below 1, got 0"),
        (("--int8", "--calibration", tmp_path / "none"), "none"),
    ):
        ran = command(*given, *further)
        assert ran.code == 1
        assert message in ran.err
        assert len(ran.errors) == 1


def test_without_the_extra(command: Command, tmp_path: Path, wide_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "nncf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nncf", None)
    ran = command("convert", wide_onnx, "--int8", "--to", "ir", "--out", tmp_path / "b")
    assert ran.code == 1
    assert ran.errors == [ran.errors[0]]
    assert "pip install 'oakpoint[int8]'" in ran.err


def test_nothing_of_nncf_is_printed_or_reported(wide_onnx: Path, tmp_path: Path) -> None:
    """In a process of its own, since what is imported stays: no line but ours, no telemetry, loggers as they were."""
    import subprocess

    code = """
import logging, sys
before = logging.getLoggerClass()
from oakpoint.chain import int8_homography
from oakpoint.chain.conversion import convert
from oakpoint.chain.options import ConversionOptions
from pathlib import Path
class Silent:
    def started(self, step): pass
    def finished(self, *a): pass
convert(ConversionOptions(model=sys.argv[1], to="ir", int8=True), Path(sys.argv[2]), Silent())
assert "nncf" in sys.modules
assert sys.modules.get("openvino_telemetry") is None
assert logging.getLoggerClass() is before
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, wide_onnx, tmp_path / "b"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == ""
    assert [line for line in ran.stderr.splitlines() if not line.startswith("input image: taken as")] == []
