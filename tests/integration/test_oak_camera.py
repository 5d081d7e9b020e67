"""The camera's pipeline with everything real but Device, Camera and NeuralNetwork; and every fault of a camera."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.errors import BackendError, BundleError, DeviceError, DeviceLostError, UsageError
from oakpoint.features.decode import decode, in_frame
from oakpoint.geometry import resized_from_original
from oakpoint.tasks.keypoints.heads.registry import outputs_of
from oakpoint.tasks.keypoints.task import INPUT

dai = pytest.importorskip("depthai")

from depthai_stub import Lens, StubDepthai  # noqa: E402

from oakpoint.oak.camera import open_camera, same_camera  # noqa: E402
from oakpoint.oak.extractor import camera_extractor  # noqa: E402
from oakpoint.oak.host_frames import open_host_frames  # noqa: E402
from oakpoint.oak.live import LiveFrame, LiveStatistics, Timing, live_frames  # noqa: E402
from oakpoint.oak.model import DeviceModel, open_device_model  # noqa: E402
from oakpoint.oak.options import OakOptions  # noqa: E402
from oakpoint.oak.pipeline_feed import PipelineFeed  # noqa: E402

Image = NDArray[np.uint8]

pytestmark = pytest.mark.compiler

SIZE = (160, 120)


@pytest.fixture(scope="module")
def images(photographs: dict[str, Image]) -> list[Image]:
    """Five views of exactly the network's size, so that nothing is scaled on the way to it."""
    return [np.ascontiguousarray(photographs["camera"][150:270, 100 + 4 * i : 260 + 4 * i]) for i in range(5)]


@pytest.fixture
def stub(executed: tuple[DeviceModel, Backend], images: list[Image]) -> Callable[..., StubDepthai]:
    def make(**options: Any) -> StubDepthai:
        return StubDepthai(executed[1], executed[0].preprocess, Lens(images), **options)

    return make


def taken(feed: PipelineFeed, stub: StubDepthai, count: int) -> tuple[list[LiveFrame], LiveStatistics]:
    statistics, frames = LiveStatistics(), []
    for frame in live_frames(feed, statistics, Timing(stall_s=60, pair_wait_s=60)):
        frames.append(frame)
        stub.images.shown()  # type: ignore[attr-defined]
        if len(frames) == count:
            break
    return frames, statistics


def exhaust(feed: PipelineFeed) -> None:
    while True:
        feed.next_result(1.0)


def expected_features(image: Image, model: DeviceModel, backend: Backend) -> Any:
    tensor, _ = model.preprocess.apply(image)
    return decode(outputs_of(backend.run({INPUT: tensor})), model.decode)


# The pipeline.


def test_the_networks_own_input_is_shown_with_its_keypoints(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], images: list[Image]
) -> None:
    depthai = stub()
    with open_camera(executed[0], OakOptions(), depthai=depthai) as feed:
        assert feed.description == "OAK-D-LITE 14442C10D13EABCE00, CAM_A, USB SUPER, 2 inference threads"
        frames, statistics = taken(feed, depthai, len(images))
    for frame, image in zip(frames, images, strict=True):
        expected = expected_features(image, *executed)
        np.testing.assert_array_equal(frame.image, image)
        np.testing.assert_array_equal(frame.features.keypoints, expected.keypoints)
        np.testing.assert_array_equal(frame.features.descriptors, expected.descriptors)
        assert frame.latency_s > 0
    assert (statistics.frames, statistics.dropped, statistics.lost, statistics.skipped) == (len(images), 0, 0, 0)
    assert depthai.opened[0].closed == 1


def test_the_networks_own_input_needs_no_record_of_scaling(
    executed: tuple[DeviceModel, Backend],
    stub: Callable[..., StubDepthai],
    images: list[Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def without_record(shown: Any, network: Any) -> Any:
        raise BackendError("camera: the network's result says nothing of how it was scaled")

    monkeypatch.setattr("oakpoint.oak.node.shown_from_network", without_record)
    depthai = stub()
    with open_camera(executed[0], OakOptions(), depthai=depthai) as feed:
        frames, _ = taken(feed, depthai, 1)
    np.testing.assert_array_equal(frames[0].features.keypoints, expected_features(images[0], *executed).keypoints)


def test_what_is_asked_of_the_camera(executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai]) -> None:
    depthai = stub()
    options = OakOptions(socket="CAM_B", fps=20, threads=1, preview=(320, 240), usb2=True, device="14442C10")
    open_camera(executed[0], options, depthai=depthai).close()
    calls = [call if not call[0].endswith("NNArchive") else call[:1] for call in depthai.calls]
    assert calls == [
        ("NeuralNetwork.setNNArchive",),
        ("NeuralNetwork.setNumInferenceThreads", 1),
        ("NeuralNetwork.setNumNCEPerInferenceThread", 1),
        ("Camera.build", "CAM_B"),
        ("Camera.requestOutput", SIZE, "GRAY8", "STRETCH", 20),
        ("Camera.requestOutput", (320, 240), "NV12", "STRETCH", 20),
    ]
    info, speed = depthai.opened[0].arguments
    assert (info.deviceId, speed) == ("14442C10", dai.UsbSpeed.HIGH)
    assert depthai.opened[0].calls == [("setMaxReconnectionAttempts", 0)], "DepthAI's own would go on in silence"


def test_the_latest_frame_and_the_latest_result_win(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], images: list[Image]
) -> None:
    depthai = stub()
    depthai.images = itertools.cycle(images)  # as fast as they are taken, unlike a Lens
    with open_camera(executed[0], OakOptions(), depthai=depthai) as feed:
        assert (depthai.networks[0].input.getBlocking(), depthai.networks[0].input.getMaxSize()) == (False, 1)
        numbers, statistics = [], LiveStatistics()
        for frame in live_frames(feed, statistics, Timing(stall_s=60, pair_wait_s=60)):
            numbers.append(frame.sequence)
            if len(numbers) == 4:
                break
            time.sleep(0.3)  # a host slower than the network
    assert statistics.dropped + statistics.skipped > 0
    assert numbers[-1] - numbers[0] > 3, "a queue of results would have kept them all"


def test_keypoints_are_mapped_to_the_preview(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], images: list[Image]
) -> None:
    depthai = stub()
    with open_camera(executed[0], OakOptions(preview=(400, 240)), depthai=depthai) as feed:
        frames, _ = taken(feed, depthai, 2)
    for frame, image in zip(frames, images, strict=False):
        assert frame.image.shape == (240, 400, 3)
        place = resized_from_original(SIZE, (400, 240))
        expected = in_frame(expected_features(image, *executed), place, (400, 240))
        np.testing.assert_allclose(frame.features.keypoints, expected.keypoints, atol=1e-3)
        assert frame.features.image_size == (400, 240)


@pytest.mark.parametrize(("resize", "mode"), [("crop", "CROP"), ("letterbox", "LETTERBOX")])
def test_the_manifests_resize_mode_is_asked_for(
    small_blob_bundle: Path, copied: Callable[[Path], Path], stub: Callable[..., StubDepthai], resize: str, mode: str
) -> None:
    depthai = stub()
    open_camera(open_device_model(resizing(copied(small_blob_bundle), resize)), OakOptions(), depthai=depthai).close()
    assert [call[3] for call in depthai.calls if call[0] == "Camera.requestOutput"] == [mode]


def resizing(bundle: Path, resize: str) -> Path:
    """The bundle with another resize mode."""
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"resize": "stretch"', f'"resize": "{resize}"'))
    return bundle


def test_a_resize_mode_that_no_camera_has_is_refused_before_it_is_opened(
    small_blob_bundle: Path, copied: Callable[[Path], Path], stub: Callable[..., StubDepthai]
) -> None:
    depthai = stub()
    with pytest.raises(UsageError, match="a camera offers stretch, crop, letterbox; this bundle's network wants «cut»"):
        open_camera(open_device_model(resizing(copied(small_blob_bundle), "cut")), OakOptions(), depthai=depthai)
    assert depthai.opened == []


def test_usb2_that_is_too_slow_is_said(executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai]) -> None:
    options = OakOptions(preview=(1920, 1080), fps=30)
    with open_camera(executed[0], options, depthai=stub(usb_speed="HIGH")) as feed:
        assert any("USB at speed HIGH carries about 36 MB/s" in note for note in feed.notes)
    with open_camera(executed[0], options, depthai=stub()) as feed:
        assert not any("carries" in note for note in feed.notes)
        assert any("the manifest's interpolation «area»" in note for note in feed.notes)


@pytest.mark.slow
def test_shaves_come_from_the_superblob(converted: Callable[..., Path], stub: Callable[..., StubDepthai]) -> None:
    bundle = converted("small-superblob", model="small_network:SmallNetwork", seed=0, size=SIZE, superblob=True)
    depthai = stub()
    open_camera(open_device_model(bundle), OakOptions(shaves=4), depthai=depthai).close()
    (blob,) = [call[1] for call in depthai.calls if call[0] == "NeuralNetwork.setBlob"]
    assert blob.numShaves == 4


def test_shaves_that_the_bundle_does_not_have_are_refused_before_the_camera_is_opened(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai]
) -> None:
    depthai = stub()
    with pytest.raises(UsageError, match=r"this bundle's blob is compiled for \d+; for other numbers"):
        open_camera(executed[0], OakOptions(shaves=3), depthai=depthai)
    assert depthai.opened == []


# Frames of the host through the camera's network.


def test_frames_of_the_host_give_the_simulators_outputs(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], images: list[Image]
) -> None:
    model, backend = executed
    depthai = stub()
    tensors = [model.preprocess.apply(image)[0] for image in images]
    with open_host_frames(model, OakOptions(), depthai=depthai) as chip:
        one_by_one = [chip.run({INPUT: tensor}) for tensor in tensors]
        streamed = list(chip.stream(tensors, in_flight=3))  # type: ignore[arg-type]
    for tensor, *found in zip(tensors, one_by_one, streamed, strict=True):
        expected = backend.run({INPUT: tensor})
        for outputs in found:
            for name in expected:
                np.testing.assert_array_equal(outputs[name], expected[name])
    assert depthai.opened[0].closed == 1


def test_a_stream_of_frames_is_not_mixed_with_other_runs(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], images: list[Image]
) -> None:
    model, backend = executed
    tensors = [model.preprocess.apply(image)[0] for image in images]
    with open_host_frames(model, OakOptions(), depthai=stub()) as chip:
        stream = chip.stream(tensors, in_flight=2)  # type: ignore[arg-type]
        next(stream)
        with pytest.raises(UsageError, match="a stream of frames is under way"):
            chip.run({INPUT: tensors[0]})
        with pytest.raises(UsageError, match="another run is under way"):
            next(chip.stream(tensors, in_flight=2))  # type: ignore[arg-type]
        stream.close()  # with frames on their way, whose results are not the next one's
        found, expected = (one.run({INPUT: tensors[-1]}) for one in (chip, backend))
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_an_extractor_on_the_camera(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], images: list[Image], monkeypatch: Any
) -> None:
    depthai = stub()
    monkeypatch.setattr("oakpoint.oak.host_frames.import_depthai", lambda: depthai)
    larger = cv2.resize(images[0], (320, 240))
    with camera_extractor(executed[0], OakOptions()) as extractor:
        features = extractor(larger)
        assert extractor.description().startswith("OAK-D-LITE 14442C10D13EABCE00, frames from the host over USB SUPER")
    outputs = outputs_of(executed[1].run({INPUT: executed[0].preprocess.apply(larger)[0]}))
    assert len(features) == len(decode(outputs, executed[0].decode))


# Faults.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opening": "No available devices", "seen": [("1.3", "X_LINK_UNBOOTED", "X_LINK_INSUFFICIENT_PERMISSIONS")]},
         "OAK camera 1.3: "),
        ({"opening": "No available devices", "seen": [("1444", "X_LINK_BOOTED", "X_LINK_SUCCESS")]},
         "in use by another program"),
        ({"platform": "RVC4"}, "expected an RVC2 (OAK-1, OAK-D, OAK-D Lite), on which a Myriad X blob runs, got RVC4"),
        ({"sockets": ["CAM_B", "CAM_C"]}, "no sensor on socket CAM_A; it has CAM_B, CAM_C"),
        ({"refusal": "Invalid sensor resolution"}, "refused the pipeline (Invalid sensor resolution); try "),
        ({"lost": "Couldn't read data from stream: '__rpc_main' (X_LINK_ERROR)"}, "lost while it was running"),
        ({"refusal": "Couldn't write data to stream: '__pipeline'"}, "lost while it was running"),
    ],
)  # fmt: skip
def test_faults_of_opening(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], options: dict[str, Any], message: str
) -> None:
    for open_it in (open_camera, open_host_frames):
        depthai = stub(**options)
        with pytest.raises(DeviceError) as caught:
            open_it(executed[0], OakOptions(), depthai=depthai)
        assert message in str(caught.value)
        assert all(device.closed == 1 for device in depthai.opened)


def test_a_camera_unplugged_in_the_middle_is_lost(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai]
) -> None:
    depthai = stub()
    with open_camera(executed[0], OakOptions(), depthai=depthai) as feed:
        frames, _ = taken(feed, depthai, 2)
        depthai.pipelines[0].stop()  # as DepthAI does when the connection is gone
        with pytest.raises(DeviceLostError, match=r"lost while it was running \(the pipeline has stopped\)"):
            exhaust(feed)
    assert len(frames) == 2
    assert depthai.opened[0].closed == 1


@pytest.mark.parametrize("named", [None, "1.3"])
def test_a_lost_camera_is_opened_again_and_no_other(
    executed: tuple[DeviceModel, Backend], stub: Callable[..., StubDepthai], named: str | None
) -> None:
    depthai = stub()
    open_it = same_camera(
        lambda options: open_camera(executed[0], options, depthai=depthai), OakOptions(device=named, usb2=True)
    )
    for _ in range(3):
        open_it().close()
    asked = [[info.deviceId or info.name for info in device.arguments[:-1]] for device in depthai.opened]
    assert asked == ([["1.3"]] * 3 if named else [[], ["14442C10D13EABCE00"], ["14442C10D13EABCE00"]])
    assert all(device.arguments[-1] == dai.UsbSpeed.HIGH for device in depthai.opened), "the other options stand"


def test_a_bundle_for_the_camera(small_bundle: Path, small_blob_bundle: Path, copied: Callable[[Path], Path]) -> None:
    with pytest.raises(UsageError, match=r"not a bundle; the folder \S+ is a bundle: give that"):
        open_device_model(small_bundle / "model.onnx")
    with pytest.raises(BundleError, match="has no blob"):
        open_device_model(small_bundle)
    copy = copied(small_blob_bundle)
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    (blob,) = [artifact for artifact in manifest["artifacts"] if artifact["kind"] == "blob"]
    blob["interface"]["outputs"][0]["name"] = "heatmap"
    path.write_text(json.dumps(manifest))
    with pytest.raises(BackendError, match=r"expected the outputs \{'heatmap'.*got \{'(desc|semi)'.*convert again"):
        open_device_model(copy)


def test_a_blob_of_another_version(small_blob_bundle: Path, copied: Callable[[Path], Path]) -> None:
    copy = copied(small_blob_bundle)
    blob = bytearray((copy / "model.blob").read_bytes())
    magic = blob.index((9709).to_bytes(4, "little"))  # then file size, and the major version: myriad/format
    blob[magic + 8] = 99
    (copy / "model.blob").write_bytes(blob)
    manifest = copy / "manifest.json"
    from oakpoint.files import sha256_of_file

    old, new = sha256_of_file(small_blob_bundle / "model.blob"), sha256_of_file(copy / "model.blob")
    manifest.write_text(manifest.read_text().replace(old, new))
    with pytest.raises(BackendError, match=r"version"):
        open_device_model(copy)
