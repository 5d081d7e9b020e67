"""Detectors, U-Nets and classifiers through the whole chain: compiled, executed, run, and read by DepthAI itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from task_networks import SIZE

import oakpoint
from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain.verification import StageVerifier
from oakpoint.predictor import Predictor
from oakpoint.tasks.boxes.suppression import kept_boxes
from oakpoint.tasks.registry import task_of_bundle
from oakpoint.verify.photographs import load_photographs

pytestmark = [pytest.mark.compiler, pytest.mark.slow]

Command = Callable[..., Any]

LABELS = ("cup", "spoon", "saucer", "table")
NETWORKS = {
    "boxes": ("ChannelsFirstDetector", {"heads": "yolo", "parameters": {"labels": LABELS}}),
    "anchored": ("AnchoredDetector", {"heads": "yolo"}),
    "mask": ("SmallUNet", {}),
    "classes": ("ProbableClassifier", {}),
}


@pytest.fixture(scope="module")
def bundle_of(converted: Callable[..., Path], task_onnx: Callable[[str], Path]) -> Callable[[str], Path]:
    def get(kind: str) -> Path:
        network, options = NETWORKS[kind]
        return converted(f"task-{kind}", model=str(task_onnx(network)), size=SIZE, **options)

    return get


@pytest.fixture(params=NETWORKS)
def bundle(request: pytest.FixtureRequest, bundle_of: Callable[[str], Path]) -> Path:
    return bundle_of(request.param)


def test_every_stage_passes(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.task.name in ("boxes", "mask", "classes")
    assert set(manifest.verdicts.values()) == {Verdict.PASS}
    assert list(manifest.verdicts) == ["onnx → ir", "onnx → device graph", "onnx → blob"]


def test_a_bit_of_a_blobs_or_an_irs_weights(bundle: Path, tmp_path: Path, image_folder: Path) -> None:
    opened = open_bundle(bundle)
    verifier = StageVerifier(load_photographs(image_folder), opened.manifest.interface, task_of_bundle(opened))
    blob = tmp_path / "model.blob"
    content = bytearray(opened.path("blob").read_bytes())
    start = int.from_bytes(content[128:132], "little")  # constants follow the stages; anything of them is to be seen
    broken = next(i for i in range(max(start, len(content) - 4096), len(content), 2) if content[i] not in (0, 255))
    content[broken + 1] ^= 0x40
    blob.write_bytes(content)
    source = ModelSource(onnx=opened.path("onnx"), blob=blob)
    assert verifier.blob_of_onnx(source, opened.manifest.device).verdict is Verdict.FAIL
    for file in (opened.path("ir"), opened.path("ir").with_suffix(".bin")):
        shutil.copy(file, tmp_path)
    weights = tmp_path / "model.bin"
    altered = bytearray(weights.read_bytes())
    altered[1001] ^= 0x40
    weights.write_bytes(altered)
    source = ModelSource(onnx=opened.path("onnx"), ir=tmp_path / "model.xml")
    assert verifier.ir_of_onnx(source).verdict is Verdict.FAIL


def predictor(bundle: Path, **options: Any) -> Predictor[Any]:
    found = oakpoint.load(bundle, **options)
    assert type(found) is Predictor
    return found


def test_the_executed_blob_finds_what_the_host_finds(bundle_of: Callable[[str], Path], image_folder: Path) -> None:
    image = cv2.imread(str(image_folder / "coffee.png"))
    found = {}
    for kind in NETWORKS:
        with predictor(bundle_of(kind)) as host, predictor(bundle_of(kind), backend="myriad_simulator") as device:
            found[kind] = host(image), device(image)
    mask_a, mask_b = found["mask"]
    assert mask_a.classes.shape == mask_b.classes.shape == image.shape[:2]
    assert (mask_a.classes == mask_b.classes).mean() > 0.99
    classes_a, classes_b = found["classes"]
    np.testing.assert_allclose(classes_a.probabilities, classes_b.probabilities, atol=0.02)
    for kind in ("boxes", "anchored"):
        a, b = found[kind]
        assert len(a) == pytest.approx(len(b), rel=0.1)
        np.testing.assert_allclose(a.scores[:5], b.scores[:5], atol=0.02)
    assert found["boxes"][0].labels == LABELS


def test_run_shows_and_tells_what_is_found(
    command: Command, bundle: Path, image_folder: Path, tmp_path: Path, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    image = image_folder / "coffee.png"
    ran = command("run", bundle, image, "--save", tmp_path / "o.png", "--json")
    assert (ran.code, ran.errors) == (0, [])
    facts = json.loads(ran.out)
    (result,) = facts["results"]
    assert result["name"] == "coffee.png"
    assert result[{"mask": "runs"}.get(facts["found"], facts["found"])], "something was found"
    picture = cv2.imread(str(tmp_path / "o.png"))
    assert picture.shape[1] == photographs["coffee"].shape[1]
    assert (picture[: photographs["coffee"].shape[0]] != photographs["coffee"]).any(), "something was drawn"
    assert command("run", bundle, image).out.startswith("1 frames, ")


def test_a_video_on_the_host_and_through_depthai_find_the_same(
    command: Command, bundle: Path, photographs: dict[str, NDArray[np.uint8]], tmp_path: Path
) -> None:
    pytest.importorskip("depthai")
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 240))
    for i in range(4):
        writer.write(np.ascontiguousarray(photographs["coffee"][50:290, 100 + 3 * i : 420 + 3 * i]))
    writer.release()
    host = json.loads(command("run", bundle, clip, "--json", "--save", tmp_path / "h.mp4").out)
    ran = command("run", bundle, clip, "--json", "--backend", "depthai-replay", "--save", tmp_path / "d.gif")
    assert (ran.code, ran.errors) == (0, [])
    device = json.loads(ran.out)
    assert host["frames"] == device["frames"] == len(host["results"]) == len(device["results"]) == 4
    for a, b in zip(host["results"], device["results"], strict=True):
        if host["found"] == "classes":
            assert [c["class"] for c in a["classes"]][:2] == [c["class"] for c in b["classes"]][:2]
        elif host["found"] == "mask":
            assert a["size"] == b["size"] == [320, 240]
            counts = ({c["class"]: c["pixels"] for c in r["classes"]} for r in (a, b))
            (one, other) = counts
            assert all(abs(one[c] - other.get(c, 0)) < 0.01 * 320 * 240 for c in one)
        else:
            all_of_b = np.array([box["corners"] for box in b["boxes"]])
            for box in a["boxes"][:3]:
                assert np.abs(all_of_b - box["corners"]).max(axis=1).min() < 2
    if host["found"] == "boxes":
        assert host["tracks_mean_per_frame"] > 0


@pytest.mark.parametrize("arguments", [("extract", "IMAGES", "--out", "x.h5"), ("eval", "--dataset", "IMAGES")])
def test_commands_that_want_keypoints_say_so_at_the_door(
    command: Command, bundle_of: Callable[[str], Path], image_folder: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    name, *rest = arguments
    words = [image_folder if word == "IMAGES" else tmp_path / word if word == "x.h5" else word for word in rest]
    ran = command(name, bundle_of("boxes"), *words)
    assert ran.code == 1
    if name == "extract":
        message = "expected a network with keypoints, got one for boxes; oakpoint run shows what it finds"
        assert ran.errors == [f"error: {bundle_of('boxes')}: {message}"]
        assert not (tmp_path / "x.h5").exists()


# DepthAI's own reading of our archives.


def read_by_depthai(node_name: str, bundle: Path, image: NDArray[np.uint8]) -> tuple[Any, Any, Any]:
    """What DepthAI's parser, configured by the archive alone, makes of the executed blob's outputs; ours beside it."""
    depthai = pytest.importorskip("depthai")
    from oakpoint.oak.model import open_stand_in
    from oakpoint.oak.replay import host_pipeline
    from oakpoint.oak.runtime import stop_pipeline

    model, backend = open_stand_in(bundle, "myriad_simulator")
    with backend:
        tensors = backend.run(model.interface.feed(image))
    halves = {name: array.astype(np.float16) for name, array in tensors.items()}
    pipeline = host_pipeline()
    parser = pipeline.create(getattr(depthai.node, node_name))
    parser.setRunOnHost(True)
    parser.setNNArchive(depthai.NNArchive(bundle / "model.rvc2.tar.xz"))
    given, found = parser.input.createInputQueue(), parser.out.createOutputQueue()
    pipeline.start()
    try:
        data = depthai.NNData()
        for name, array in halves.items():
            data.addTensor(name, np.ascontiguousarray(array[0]), depthai.TensorInfo.DataType.FP16)
        data.setTransformation(depthai.ImgTransformation(*model.size))
        given.send(data)
        message = found.get(timedelta(seconds=60))
    finally:
        stop_pipeline(pipeline)
    assert message is not None
    return message, model, {name: array.astype(np.float32) for name, array in halves.items()}


@pytest.mark.parametrize("kind", ["boxes", "anchored"])
def test_depthai_decodes_the_heads_yolo(
    bundle_of: Callable[[str], Path], photographs: dict[str, NDArray[np.uint8]], kind: str
) -> None:
    """Its suppression is that of all classes together, after boxes were cut at the edges; so is this one."""
    message, model, tensors = read_by_depthai("DetectionParser", bundle_of(kind), photographs["coffee"])
    width, height = model.size
    candidates, task = model.task.candidates(tensors), model.task
    scores = candidates.scores.max(axis=1)
    corners = np.clip(candidates.corners, 0, [width, height, width, height]).astype(np.float32)
    passing = np.flatnonzero((scores >= task.threshold) & (corners[:, 2:] > corners[:, :2]).all(axis=1))
    kept = kept_boxes(corners[passing], scores[passing], np.zeros(len(passing), np.int64), task.iou_threshold)
    assert len(message.detections) == pytest.approx(len(kept), rel=0.05), "equal scores stand in another order"
    for found in message.detections:
        box = np.array([found.xmin * width, found.ymin * height, found.xmax * width, found.ymax * height])
        nearest = passing[int(np.abs(corners[passing] - box).max(axis=1).argmin())]
        np.testing.assert_allclose(corners[nearest], box, atol=0.05)
        assert found.confidence == pytest.approx(scores[nearest], abs=1e-3)
        assert found.label == candidates.scores[nearest].argmax()
    names = {d.labelName for d in message.detections}
    assert names <= (set(LABELS) if kind == "boxes" else {"0", "1", "2", "3"})


def test_depthai_reads_the_mask(bundle_of: Callable[[str], Path], photographs: dict[str, NDArray[np.uint8]]) -> None:
    message, model, tensors = read_by_depthai("SegmentationParser", bundle_of("mask"), photographs["coffee"])
    expected = model.task.read(tensors).classes
    np.testing.assert_array_equal(message.getCvMask(), expected)


def test_what_an_archive_says_of_classes(bundle_of: Callable[[str], Path]) -> None:
    depthai = pytest.importorskip("depthai")
    model = depthai.NNArchive(bundle_of("classes") / "model.rvc2.tar.xz").getConfig().model
    (head,) = model.heads
    assert (head.parser, head.outputs) == ("ClassificationParser", ["out0"])
    assert (head.metadata.nClasses, head.metadata.isSoftmax) == (10, True)
    assert head.metadata.classes == [str(index) for index in range(10)]
    assert model.inputs[0].preprocessing.daiType == "RGB888p"


def test_a_detector_without_heads_for_depthai_has_none_in_its_archive(bundle_of: Callable[[str], Path]) -> None:
    opened = open_bundle(bundle_of("boxes"))
    task = task_of_bundle(opened)
    assert task.archive_heads(opened.manifest.interface.outputs, replace(opened.manifest.device, heads="dense")) == []
