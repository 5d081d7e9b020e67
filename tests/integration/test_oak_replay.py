"""DepthAI's real runtime on the host: stand-ins for camera and network, our node, the same results as without it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import oakpoint
from oakpoint.backends.base import Backend, Tensors
from oakpoint.errors import BackendError, DeviceLostError, ImageError
from oakpoint.features.decode import decode, in_frame
from oakpoint.features.tracking import Tracker
from oakpoint.features.types import Features
from oakpoint.images.preprocess import Preprocess
from oakpoint.images.sources import open_source
from oakpoint.tasks.keypoints.heads.registry import outputs_of
from oakpoint.tasks.keypoints.task import INPUT

dai = pytest.importorskip("depthai")

from depthai_stub import start  # noqa: E402

from oakpoint.oak.feed import Feed  # noqa: E402
from oakpoint.oak.frames import frame_from_image, image_from_frame, shown_from_network  # noqa: E402
from oakpoint.oak.live import LiveFrame, LiveStatistics, Timing, live_frames  # noqa: E402
from oakpoint.oak.model import DeviceModel, open_stand_in  # noqa: E402
from oakpoint.oak.node import KeypointsNode  # noqa: E402
from oakpoint.oak.replay import host_pipeline, open_replay, start_replay  # noqa: E402
from oakpoint.oak.runtime import stop_pipeline  # noqa: E402
from oakpoint.oak.stand_in import ImagesNode  # noqa: E402
from oakpoint.oak.tensors import nn_data_from_tensors, tensors_from_nn_data  # noqa: E402

KEYPOINT_PX = 1e-3
"""DepthAI keeps transformations as float32: a pixel of a frame 640 wide is then known to 4e-5 px."""

Image = NDArray[np.uint8]


def played(feed: Feed, frames: int | None = None) -> list[LiveFrame]:
    timing = Timing(stall_s=None, pair_wait_s=float("inf"))
    return list(islice(live_frames(feed, LiveStatistics(), timing), frames))


def exhaust(feed: Feed) -> None:
    while True:
        feed.next_result(1.0)


def replayed(images: list[Image], model: DeviceModel, backend: Backend) -> list[LiveFrame]:
    with open_replay(images, model, backend) as feed:
        return played(feed)


def direct(image: Image, model: DeviceModel, backend: Backend) -> Features:
    """What the host makes of an image without DepthAI, its network's outputs rounded to FP16 as the blob's are."""
    bundle = model.bundle.manifest
    kind = "blob" if backend.inputs[0].dtype == "uint8" else "ir"
    tensor, original_from_tensor = bundle.artifact(kind).interface.image.apply(image)
    outputs = {name: t.astype(np.float16).astype(np.float32) for name, t in backend.run({INPUT: tensor}).items()}
    features = decode(outputs_of(outputs), model.decode)
    return in_frame(features, original_from_tensor, (image.shape[1], image.shape[0]))


def assert_same(found: Features, expected: Features) -> None:
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.descriptors, expected.descriptors)
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=KEYPOINT_PX)
    assert found.image_size == expected.image_size


@pytest.fixture(scope="module")
def images(photographs: dict[str, Image]) -> list[Image]:
    """Eight views that move over a photograph, larger than the network's input and of another aspect ratio."""
    return [np.ascontiguousarray(photographs["camera"][100:340, 60 + 4 * i : 360 + 4 * i]) for i in range(8)]


@pytest.fixture
def ir(small_bundle: Path) -> Iterator[tuple[DeviceModel, Backend]]:
    model, backend = open_stand_in(small_bundle, "openvino")
    with backend:
        yield model, backend


def test_results_equal_those_of_the_host(ir: tuple[DeviceModel, Backend], images: list[Image]) -> None:
    found = replayed(images, *ir)
    assert [frame.sequence for frame in found] == list(range(len(images)))
    for frame, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(frame.image, image)
        assert len(frame.features) > 20
        assert_same(frame.features, direct(image, *ir))


@pytest.fixture(params=["dense", "heatmap", "normalised", "packed", "rtabmap"])
def bundle_of_heads(request: pytest.FixtureRequest, converted: Callable[..., Path]) -> Path:
    """The small network with each kind of heads; its descriptors cannot be reduced."""
    heads = request.param
    name = "small-archive" if heads == "dense" else f"small-{heads}"
    return converted(name, model="small_network:SmallNetwork", seed=0, size=(160, 120), heads=heads)


@pytest.mark.compiler
def test_the_executed_blob_gives_what_the_extractor_gives(bundle_of_heads: Path, images: list[Image]) -> None:
    model, backend = open_stand_in(bundle_of_heads, "myriad_simulator")
    with backend, oakpoint.load(bundle_of_heads, backend="myriad_simulator") as extractor:
        for frame, image in zip(replayed(images[:3], model, backend), images, strict=False):
            assert len(frame.features) > 20
            assert_same(frame.features, extractor(image))


@pytest.mark.compiler
def test_the_cpu_in_the_cameras_place_gives_the_blobs_tensors(bundle_of_heads: Path, images: list[Image]) -> None:
    model, backend = open_stand_in(bundle_of_heads, "openvino")
    blob = model.bundle.manifest.artifact("blob").interface.outputs
    half = {"float16": "float32"}  # of which depthai makes FP16 again
    assert {(s.name, s.shape, s.dtype) for s in model.outputs} == {
        (s.name, s.shape, half.get(s.dtype, s.dtype)) for s in blob
    }
    with backend, oakpoint.load(bundle_of_heads, backend="myriad_simulator") as executed:
        frames = replayed(images[:2], model, backend)
        for frame, image in zip(frames, images, strict=False):
            expected = executed(image)
            near = np.linalg.norm(frame.features.keypoints[:, None] - expected.keypoints, axis=2).min(axis=1) < 0.1
            assert near.mean() > 0.9


@pytest.mark.shared
@pytest.mark.compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", ["superpoint_bundle", "superpoint_rtabmap_bundle"])
def test_superpoint_on_a_real_clip_with_either_heads(name: str, shared: Path, request: pytest.FixtureRequest) -> None:
    bundle = request.getfixturevalue(name)
    with open_source(str(shared / "clips" / "icl_nuim_30frames.mp4")) as source:
        images = [frame.image for frame in islice(source, 6)]
    model, backend = open_stand_in(bundle, "myriad_simulator")
    with backend, oakpoint.load(bundle, backend="myriad_simulator") as extractor:
        for frame, image in zip(replayed(images, model, backend), images, strict=True):
            assert len(frame.features) > 50
            assert_same(frame.features, extractor(image))


def test_tracks_are_the_same_too(ir: tuple[DeviceModel, Backend], images: list[Image]) -> None:
    here, there = (Tracker(max_length=5, max_distance=0.7) for _ in range(2))
    followed = 0
    for frame, image in zip(replayed(images, *ir), images, strict=True):
        found, expected = here.update(frame.features), there.update(direct(image, *ir))
        np.testing.assert_array_equal(found.ids, expected.ids)
        followed += int((found.ages > 1).sum())
    assert followed > 50


def test_depthais_own_replay_gives_the_same(
    ir: tuple[DeviceModel, Backend], images: list[Image], tmp_path: Path
) -> None:
    """``ReplayVideo`` stops the pipeline at the end, with frames on their way: it loops here, and we stop."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (300, 240))
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    writer.release()
    pipeline = host_pipeline()
    video = pipeline.create(dai.node.ReplayVideo)
    video.setReplayVideoFile(path)
    video.setOutFrameType(dai.ImgFrame.Type.BGR888i)
    video.setLoop(True)
    video.setFps(1000)
    with start_replay(pipeline, video.out, *ir, expected=lambda: None) as feed:
        found = played(feed, len(images))
    with open_source(str(path)) as source:
        for frame, expected in zip(found, source, strict=True):
            np.testing.assert_array_equal(frame.image, expected.image)
            assert_same(frame.features, direct(expected.image, *ir))


# The node in a pipeline of the user's own.


@pytest.fixture
def pipeline() -> Iterator[Any]:
    pipeline = host_pipeline()
    yield pipeline
    stop_pipeline(pipeline)


@pytest.fixture
def outputs(ir: tuple[DeviceModel, Backend], images: list[Image]) -> list[Tensors]:
    model, backend = ir
    preprocess = model.bundle.manifest.artifact("ir").interface.image
    return [backend.run({INPUT: preprocess.apply(image)[0]}) for image in images]


def unused_output(pipeline: Any) -> Any:
    """An output to link; results are sent from the test."""
    return pipeline.create(ImagesNode).build(()).out


def sent(tensors: Tensors, number: int) -> Any:
    data = nn_data_from_tensors(tensors)
    data.setSequenceNum(number)
    data.setTimestamp(dai.Clock.now())
    return data


def test_a_message_carries_keypoints_scores_and_descriptors(
    pipeline: Any, ir: tuple[DeviceModel, Backend], outputs: list[Tensors]
) -> None:
    keypoints = pipeline.create(KeypointsNode).build(unused_output(pipeline), ir[0])
    data, queue = keypoints.input.createInputQueue(), keypoints.out.createOutputQueue()
    pipeline.start()
    data.send(sent(outputs[0], 7))
    message = queue.get(timedelta(seconds=30))
    half = {name: t.astype(np.float16).astype(np.float32) for name, t in outputs[0].items()}
    expected = decode(outputs_of(half), ir[0].decode)
    assert message.getSequenceNum() == 7
    assert message.latency_s > 0
    for name in ("keypoints", "scores", "descriptors"):
        np.testing.assert_array_equal(getattr(message, name), getattr(expected, name))


def test_the_latest_result_wins_and_the_others_are_counted(
    pipeline: Any, ir: tuple[DeviceModel, Backend], outputs: list[Tensors], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Semaphore(0), threading.Semaphore(0)

    def slow_decode(*arguments: Any) -> Features:
        entered.release()
        assert go_on.acquire(timeout=60)
        return decode(*arguments)

    monkeypatch.setattr("oakpoint.tasks.keypoints.task.decode", slow_decode)
    keypoints = pipeline.create(KeypointsNode).build(unused_output(pipeline), ir[0])
    data, queue = keypoints.input.createInputQueue(), keypoints.out.createOutputQueue()
    pipeline.start()
    data.send(sent(outputs[0], 0))
    assert entered.acquire(timeout=60), "the host is busy with result 0"
    for number in range(1, 5):
        data.send(sent(outputs[0], number))
    wait_until(lambda: keypoints.input.getSize() == 4)
    go_on.release(2)
    messages = [queue.get(timedelta(seconds=60)) for _ in range(2)]
    assert [(m.getSequenceNum(), m.serial, m.dropped) for m in messages] == [(0, 0, 0), (4, 1, 3)]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_another_networks_tensors_are_named_and_do_not_end_the_process(
    ir: tuple[DeviceModel, Backend], images: list[Image]
) -> None:
    class Other(Backend):
        description, inputs, outputs = "other", ir[1].inputs, ()

        def _run(self, tensors: Any) -> Tensors:
            return {"boxes": np.zeros((1, 4), np.float32)}

    with pytest.raises(BackendError, match="expected the tensors semi, desc, got boxes; is another network running"):
        replayed(images, ir[0], Other())


def test_a_tensor_of_another_shape_is_described(ir: tuple[DeviceModel, Backend]) -> None:
    specs = ir[0].outputs
    tensors = {spec.name: np.zeros(spec.shape, np.float32) for spec in specs}
    data = nn_data_from_tensors(tensors | {"desc": tensors["desc"].transpose(0, 2, 3, 1)})
    with pytest.raises(BackendError, match=r"tensor desc: expected \(1, 16, 15, 20\), got \(1, 15, 20, 16\) \(dims"):
        tensors_from_nn_data(data, specs)


def test_values_beyond_fp16_are_infinite_as_on_the_chip(ir: tuple[DeviceModel, Backend]) -> None:
    specs = ir[0].outputs
    tensors = {spec.name: np.full(spec.shape, 1e6, np.float32) for spec in specs}
    assert all(np.isinf(t).all() for t in tensors_from_nn_data(nn_data_from_tensors(tensors), specs).values())


def test_an_unforeseen_exception_reaches_the_caller(ir: tuple[DeviceModel, Backend], images: list[Image]) -> None:
    class Broken(Backend):
        description, inputs, outputs = "broken", ir[1].inputs, ir[1].outputs

        def _run(self, tensors: Any) -> Tensors:
            raise ZeroDivisionError("a mistake of ours")

    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        replayed(images, ir[0], Broken())


def test_a_source_that_breaks_off_is_an_error(ir: tuple[DeviceModel, Backend], images: list[Image]) -> None:
    def broken() -> Iterator[Image]:
        yield images[0]
        raise ImageError("webcam 0: stopped delivering after 1 frames")

    with pytest.raises(ImageError, match="stopped delivering"):
        replayed(broken(), *ir)  # type: ignore[arg-type]


def test_no_frames_end_at_once(ir: tuple[DeviceModel, Backend]) -> None:
    assert replayed([], *ir) == []


def test_leaving_in_the_middle_stops_the_pipeline(ir: tuple[DeviceModel, Backend], images: list[Image]) -> None:
    with open_replay(images * 100, *ir) as feed:
        assert len(played(feed, 3)) == 3
    with pytest.raises(DeviceLostError, match="the pipeline has stopped"):
        exhaust(feed)


# DepthAI's own record of scaling.


@pytest.mark.parametrize(
    ("resize", "mode", "slack_px"),
    [("stretch", "STRETCH", KEYPOINT_PX), ("crop", "CENTER_CROP", KEYPOINT_PX), ("letterbox", "LETTERBOX", 1.5)],
)
def test_depthais_transformations_say_what_preprocess_says(
    pipeline: Any, resize: Any, mode: str, slack_px: float
) -> None:
    """A letterbox of ours has whole pixels, so that it differs by the rounding of its sides."""
    size, original = (160, 120), (400, 240)
    manip = pipeline.create(dai.node.ImageManip)
    manip.setRunOnHost(True)
    manip.initialConfig.setOutputSize(*size, getattr(dai.ImageManipConfig.ResizeMode, mode))
    frames, out = manip.inputImage.createInputQueue(), manip.out.createOutputQueue()
    start(pipeline)
    sensor = frame_from_image(np.zeros((original[1], original[0]), np.uint8))
    frames.send(sensor)
    resized = out.get(timedelta(seconds=30))
    found = shown_from_network(sensor.getTransformation(), resized.getTransformation())
    expected = Preprocess(size=size, resize=resize, interpolation="linear").original_from_tensor(original)
    corners = np.float32([[0, 0], [159, 0], [0, 119], [159, 119]])
    np.testing.assert_allclose(found(corners), expected(corners), atol=slack_px)


def test_a_frame_without_a_record_of_scaling_is_refused() -> None:
    frame = dai.ImgFrame()
    frame.setCvFrame(np.zeros((8, 8), np.uint8), dai.ImgFrame.Type.GRAY8)
    valid = frame_from_image(np.zeros((8, 8), np.uint8)).getTransformation()
    with pytest.raises(BackendError, match="the shown frame says nothing of how it was scaled"):
        shown_from_network(frame.getTransformation(), valid)
    with pytest.raises(BackendError, match="the network's result says nothing"):
        shown_from_network(valid, None)
    with pytest.raises(BackendError, match="expected two frames of one sensor"):
        shown_from_network(valid, frame_from_image(np.zeros((8, 16), np.uint8)).getTransformation())


@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 3)])
def test_images_go_through_frames_unchanged(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(image_from_frame(frame_from_image(image)), image)


# The import.


def test_depthai_is_imported_quietly_and_reports_nothing() -> None:
    code = (
        "from oakpoint.oak.runtime import SETTINGS, import_depthai; import os\n"
        "import_depthai().Pipeline(createImplicitDevice=False)\n"
        "assert all(os.environ[name] == value for name, value in SETTINGS.items())"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DEPTHAI_")}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_users_own_settings_stand() -> None:
    code = (
        "from oakpoint.oak.runtime import import_depthai; import os\n"
        "import_depthai(); print(os.environ['DEPTHAI_LEVEL'])"
    )
    environment = os.environ | {"DEPTHAI_LEVEL": "critical"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "critical\n"
