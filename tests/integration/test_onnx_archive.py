"""``convert --to onnx-archive``: what is in the archive runs as the network does, and faults in it are found."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import depthai
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.interface import Interface
from oakpoint.bundle.records import Verdict
from oakpoint.chain.conversion import convert
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import StageVerifier, verify_bundle
from oakpoint.convert.archive_from_onnx import MODEL_NAME, read_onnx_archive, write_onnx_archive
from oakpoint.errors import BundleError, UsageError
from oakpoint.images.preprocess import Preprocess
from oakpoint.models.base import ModelOptions
from oakpoint.models.inputs import ImageOptions, InputOptions
from oakpoint.tasks.registry import task_of_bundle
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.tolerances import ONNX_ARCHIVE_CLAIM, ONNX_ARCHIVE_STAGE

SAID = ModelOptions(
    inputs=InputOptions(
        image=ImageOptions(colour="rgb", mean=(123.675, 116.28, 103.53), scale=(1 / 58.395, 1 / 57.12, 1 / 57.375))
    )
)
FILE = "model.onnx.tar.xz"


def write_network(path: Path, batch: int | str = "N", size: tuple[int, int] = (64, 48)) -> Path:
    """A convolution of 3 channels, random weights: (N, 3, H, W) → (N, 4, H/2, W/2)."""
    rng = np.random.default_rng(7)
    weights = [rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32), rng.normal(0, 1, 4).astype(np.float32)]
    width, height = size
    graph = helper.make_graph(
        [helper.make_node("Conv", ["picture", "w", "b"], ["found"], pads=[1, 1, 1, 1], strides=[2, 2])],
        "g",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, (batch, 3, height, width))],
        [helper.make_tensor_value_info("found", TensorProto.FLOAT, (batch, 4, height // 2, width // 2))],
        [numpy_helper.from_array(array, name) for array, name in zip(weights, "wb", strict=True)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> ConversionOptions:
    path = write_network(tmp_path_factory.mktemp("net") / "net.onnx")
    return ConversionOptions(model=str(path), to="onnx-archive", images=image_folder, said=SAID)


@pytest.fixture(scope="module")
def bundle(options: ConversionOptions, tmp_path_factory: pytest.TempPathFactory, listener: Any) -> Path:
    return convert(options, tmp_path_factory.mktemp("b") / "b", listener).folder


def test_a_conversion_ends_with_it(bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == {"model.onnx", FILE, "manifest.json", "report.json"}
    manifest = open_bundle(bundle).manifest
    assert manifest.verdicts == {ONNX_ARCHIVE_STAGE: Verdict.PASS}
    artifact = manifest.artifact("onnx_archive")
    assert set(artifact.parents) == set(manifest.artifact("onnx").files.values())
    assert artifact.interface.tensors[0].shape == (1, 3, 48, 64)
    assert artifact.interface.outputs[0].shape == (1, 4, 24, 32)
    (report,) = json.loads((bundle / "report.json").read_text())
    assert report["claim"] == ONNX_ARCHIVE_CLAIM
    assert "RVC4" in report["claim"], "what was not tried is said"


def test_the_model_in_it_runs_on_pixels_as_the_config_says(bundle: Path) -> None:
    archive = depthai.NNArchive(str(bundle / FILE))
    assert archive.getModelType() == depthai.ModelType.OTHER
    config = archive.getConfig().model
    (given,) = config.inputs
    assert given.preprocessing.daiType == "RGB888p"
    bgr = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    planes = bgr[..., ::-1].transpose(2, 0, 1)[np.newaxis].astype(np.float32)
    told = given.preprocessing
    mean, scale = (np.array(numbers, np.float32).reshape(1, 3, 1, 1) for numbers in (told.mean, told.scale))
    with tarfile.open(bundle / FILE) as tar:
        stream = tar.extractfile(config.metadata.path)
        assert stream is not None
        packed = onnxruntime.InferenceSession(stream.read())
    (got,) = packed.run(None, {given.name: (planes - mean) / scale})
    opened = open_bundle(bundle)
    host = onnxruntime.InferenceSession(opened.path("onnx"))
    (wanted,) = host.run(None, dict(opened.manifest.interface.feed(bgr)))
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_it_is_verified_again_with_the_bundle(bundle: Path, image_folder: Path) -> None:
    reports = verify_bundle(open_bundle(bundle), load_photographs(image_folder), None)
    assert [(report.stage, report.verdict) for report in reports] == [(ONNX_ARCHIVE_STAGE, Verdict.PASS)]


def _preprocess(**changes: Any) -> Callable[[Interface], Interface]:
    return lambda interface: interface.with_preprocess(replace(interface.image, **changes))


FAULTS: dict[str, Callable[[Interface], Interface]] = {
    "colours swapped": _preprocess(colour="bgr"),
    "mean and scale in the order of BGR": lambda interface: interface.with_preprocess(
        replace(interface.image, mean=interface.image.mean[::-1], scale=interface.image.scale[::-1])  # type: ignore[index]
    ),
    "no mean": _preprocess(mean=0.0),
    "the mean off by a level": _preprocess(mean=(124.675, 116.28, 103.53)),
    "of pixels 0 to 1": _preprocess(scale=(1 / 0.229, 1 / 0.224, 1 / 0.225)),
    "scale as a factor": _preprocess(scale=(58.395, 57.12, 57.375)),
    "a letterbox": _preprocess(resize="letterbox"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_config_that_says_something_else_fails(bundle: Path, tmp_path: Path, image_folder: Path, fault: str) -> None:
    opened = open_bundle(bundle)
    manifest = opened.manifest
    told = FAULTS[fault](manifest.artifact("onnx_archive").interface)
    path = tmp_path / FILE
    write_onnx_archive(opened.path("onnx").read_bytes(), path, name="n", interface=told)
    verifier = StageVerifier(load_photographs(image_folder), manifest.interface, task_of_bundle(opened))
    report = verifier.archive_of_onnx(opened.path("onnx"), path, manifest.device)
    assert report.verdict is Verdict.FAIL, report.summary
    assert report.claim == ""


def test_an_archive_that_is_none_fails(bundle: Path, tmp_path: Path, image_folder: Path) -> None:
    opened = open_bundle(bundle)
    path = tmp_path / FILE
    path.write_bytes(b"something else")
    verifier = StageVerifier(load_photographs(image_folder), opened.manifest.interface, task_of_bundle(opened))
    report = verifier.archive_of_onnx(opened.path("onnx"), path, opened.manifest.device)
    assert report.verdict is Verdict.FAIL
    assert "no NN archive" in report.summary


def test_two_conversions_give_the_same_bytes(
    bundle: Path, options: ConversionOptions, tmp_path: Path, listener: Any
) -> None:
    again = convert(options, tmp_path / "again", listener).folder
    assert (again / FILE).read_bytes() == (bundle / FILE).read_bytes()


def test_a_bundle_gets_one_from_what_it_has(bundle: Path, tmp_path: Path, image_folder: Path, listener: Any) -> None:
    options = ConversionOptions(model=str(bundle), to="onnx-archive", images=image_folder)
    again = convert(options, tmp_path / "again", listener).folder
    assert read_onnx_archive(again / FILE, open_bundle(again).manifest.interface)[1].image == _own(bundle)


def _own(bundle: Path) -> Preprocess:
    return read_onnx_archive(bundle / FILE, open_bundle(bundle).manifest.interface)[1].image


def test_a_bundle_without_one_says_what_makes_it(options: ConversionOptions, tmp_path: Path, listener: Any) -> None:
    made = convert(replace(options, to="ir"), tmp_path / "b", listener).folder
    with pytest.raises(BundleError, match="convert again with --to onnx-archive"):
        open_bundle(made).path("onnx_archive")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 2}, "takes images one by one, got 2"),
        ({"superblob": True}, "superblob: needs --to blob or --to archive, got 'onnx-archive'"),
    ],
)
def test_what_it_cannot_have_is_refused(options: ConversionOptions, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(options, **changes)


def test_a_fixed_batch_is_refused(options: ConversionOptions, tmp_path: Path, listener: Any) -> None:
    path = write_network(tmp_path / "four.onnx", batch=4)
    with pytest.raises(UsageError, match=r"batch is fixed to 4, .*\(--to onnx\)"):
        convert(replace(options, model=str(path)), tmp_path / "b", listener)
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
def test_heads_that_depthai_decodes_are_in_the_model(tmp_path: Path, image_folder: Path, listener: Any) -> None:
    detector = "task_networks:ChannelsFirstDetector"
    options = ConversionOptions(model=detector, size=(96, 64), heads="yolo", to="onnx-archive", images=image_folder)
    made = convert(options, tmp_path / "b", listener)
    assert made.manifest.verdicts[ONNX_ARCHIVE_STAGE] is Verdict.PASS
    assert made.manifest.device.heads == "yolo"
    archive = depthai.NNArchive(str(made.folder / FILE))
    (head,) = archive.getConfig().model.heads
    assert head.parser == "YOLO"
    with tarfile.open(made.folder / FILE) as tar:
        stream = tar.extractfile(MODEL_NAME)
        assert stream is not None
        model = onnx.load(io.BytesIO(stream.read()))
    assert [output.name for output in model.graph.output] == head.outputs
    assert [tensor.name for tensor in archive.getConfig().model.outputs] == head.outputs


def test_the_command(options: ConversionOptions, tmp_path: Path, command: Any, image_folder: Path) -> None:
    said = ["--color", "rgb", "--normalize", "imagenet", "--images", image_folder]
    ran = command("convert", options.model, *said, "--to", "onnx-archive", "--out", tmp_path / "b")
    assert ran.code == 0, ran.err
    assert "RVC4" in " ".join(ran.out.split())
    assert _own(tmp_path / "b").mean == (123.675, 116.28, 103.53)
