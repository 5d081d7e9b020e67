"""``oakpoint run`` with a camera and with DepthAI's runtime on the host: what users see."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from clips import frames_of
from readings import KnownTask, known_reading

from oakpoint.cli.run_routes import Socket
from oakpoint.errors import DeviceError, DeviceLostError
from oakpoint.features.types import Features
from oakpoint.oak.feed import Feed, Result, ShownFrame
from oakpoint.oak.live import Timing
from oakpoint.oak.options import SOCKETS
from oakpoint.tasks.reading import Reading

MODEL = SimpleNamespace(task=KnownTask(None))

pytest.importorskip("depthai")

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Any]) -> Path:
    """Six frames of a view that moves over a photograph."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (200, 160))
    for i in range(6):
        writer.write(cv2.cvtColor(photographs["camera"][150:310, 150 + 3 * i : 350 + 3 * i], cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def test_replay_gives_what_the_host_gives(command: Command, small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    replay = command("run", small_bundle, clip, "--backend", "depthai-replay", "--save", tmp_path / "t.mp4", "--json")
    assert (replay.code, replay.errors) == (0, [])
    facts, host = json.loads(replay.out), json.loads(command("run", small_bundle, clip, "--json").out)
    assert facts["frames"] == host["frames"] == 6
    assert facts["keypoints_mean"] == pytest.approx(host["keypoints_mean"], rel=0.02), "outputs are rounded to FP16"
    assert facts["tracks_mean_per_frame"] == pytest.approx(host["tracks_mean_per_frame"], rel=0.05)
    assert (facts["results_dropped_by_host"], facts["frames_lost"], facts["frames_skipped_by_network"]) == (0, 0, 0)
    assert facts["rate_fps"] > 0
    assert facts["latency_ms_median"] > 0
    assert facts["backend"].startswith("depthai ")
    assert frames_of(tmp_path / "t.mp4") == 6


@pytest.mark.parametrize(("source", "words"), [("image", ()), ("clip", ("--max-frames", "1"))])
def test_one_frame_can_be_an_image(
    command: Command, small_bundle: Path, clip: Path, image_folder: Path, tmp_path: Path, source: str, words: list[str]
) -> None:
    taken = {"clip": clip, "image": image_folder / "camera.png"}[source]
    ran = command("run", small_bundle, taken, *words, "--backend", "depthai-replay", "--save", tmp_path / "t.png")
    assert (ran.code, ran.errors) == (0, [])
    assert cv2.imread(str(tmp_path / "t.png")) is not None
    assert ran.out.startswith("1 frames, ")


@pytest.mark.compiler
def test_replay_of_the_executed_blob(command: Command, small_blob_bundle: Path, clip: Path) -> None:
    ran = command(
        "run",
        small_blob_bundle,
        clip,
        "--backend",
        "depthai-replay",
        "--stand-in",
        "myriad_simulator",
        "--max-frames",
        2,
    )
    assert (ran.code, ran.errors) == (0, [])
    assert ran.out.startswith("2 frames, ")
    assert "myriad simulator" in ran.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("oak", "--backend", "openvino"), "runs the network on the camera (--backend depthai), not on openvino"),
        (("CLIP", "--backend", "tpu"), "openvino, myriad_simulator, depthai, depthai-replay, got 'tpu'"),
        (("CLIP", "--fps", "10"), "--fps: counts with the source oak only"),
        (("CLIP", "--fps", "0"), "--fps: counts with the source oak only"),
        (("CLIP", "--shaves", "0"), "--shaves: counts with the source oak or --backend depthai only"),
        (("CLIP", "--backend", "depthai", "--nn-threads", "1"), "--nn-threads: counts with the source oak only"),
        (("CLIP", "--usb2"), "--usb2: counts with the source oak or --backend depthai only"),
        (("CLIP", "--reconnect"), "--reconnect: counts with the source oak only"),
        (("CLIP", "--stand-in", "openvino"), "--stand-in: counts with --backend depthai-replay only"),
        (("oak", "--stand-in", "openvino"), "--stand-in: counts with --backend depthai-replay only"),
        (("CLIP", "--backend", "depthai-replay", "--stand-in", "tpu"), "expected one of openvino, myriad_simulator"),
        (("CLIP", "--backend", "depthai-replay", "--size", "64x64"), "--size: has no effect on a camera's network"),
        (("oak", "--precision", "f16"), "--precision: has no effect on a camera's network"),
        (("oak", "--fps", "0"), "fps: expected more than 0"),
        (("oak", "--nn-threads", "4"), "nn-threads: expected 1 or 2"),
        (("oak", "--preview", "large"), "size: expected WIDTHxHEIGHT"),
        (("oak",), "this bundle has no blob"),
        (("missing.mp4", "--backend", "depthai-replay"), "missing.mp4: no such file or folder"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    save = tmp_path / "t.mp4"
    ran = command("run", small_bundle, *(clip if word == "CLIP" else word for word in words), "--save", save)
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert message in ran.errors[0]
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_socket() -> None:
    assert all(socket in get_args(Socket)[1].help for socket in SOCKETS)


# A camera in the place of ``open_camera``.


class FakeFeed(Feed):
    """A camera that delivers some frames and then is lost, interrupted, or goes on."""

    description = "OAK-D 1444, CAM_A, USB HIGH, 2 inference threads"

    def __init__(self, count: int, end: BaseException | None) -> None:
        self.facts = {"camera": "OAK-D", "id": "1444", "usb_speed": "HIGH"}
        self.notes = ("USB at speed HIGH carries about 36 MB/s",)
        self.closed = False
        self._results = iter(range(count))
        self._end = end
        self._frames: list[ShownFrame] = []

    def next_result(self, timeout_s: float) -> Result | None:
        number = next(self._results, None)
        if number is None:
            if self._end is not None:
                raise self._end
            return None
        self._frames = [ShownFrame(number, lambda: np.zeros((48, 64), np.uint8))]
        features = Features(
            np.float32([[20, 20 + number]]), np.ones(1, np.float32), np.ones((1, 1), np.float32), (64, 48)
        )
        return Result(number, lambda shown: known_reading(features), 0.08, number / 20, number, 0)

    def new_frames(self, timeout_s: float) -> list[ShownFrame]:
        frames, self._frames = self._frames, []
        return frames

    @property
    def finished(self) -> bool:
        return self._end is None

    def close(self) -> None:
        self.closed = True


Cameras = Callable[..., list[FakeFeed]]


@pytest.fixture
def devices() -> list[str | None]:
    """The cameras that were asked for, one for each opening."""
    return []


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch, devices: list[str | None]) -> Cameras:
    """Lets ``open_camera`` give these feeds or raise these errors, one after the other."""

    def put(*outcomes: FakeFeed | Exception) -> list[FakeFeed]:
        rest = iter(outcomes)

        def open_next(model: Any, options: Any) -> FakeFeed:
            devices.append(options.device)
            outcome = next(rest)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr("oakpoint.cli.run_oak.open_device_model", lambda path, **changes: MODEL)
        monkeypatch.setattr("oakpoint.cli.run_oak.open_camera", open_next)
        monkeypatch.setattr("oakpoint.cli.run_oak.Timing", lambda: Timing(sleep=lambda seconds: None))
        return [outcome for outcome in outcomes if isinstance(outcome, FakeFeed)]

    return put


def test_a_run_tells_rate_latency_and_counts(command: Command, cameras: Cameras, small_bundle: Path) -> None:
    (feed,) = cameras(FakeFeed(30, None))
    ran = command("run", small_bundle, "oak", "--max-frames", "4", "--json")
    facts = json.loads(ran.out)
    assert (ran.code, facts["frames"], facts["tracks"]) == (0, 4, 1)
    assert facts["latency_ms_median"] == pytest.approx(80)
    assert facts["device"] == feed.facts
    assert facts["notes"] == list(feed.notes)
    assert ran.err.count("carries about 36 MB/s") == 1
    assert feed.closed


def test_the_same_in_words(command: Command, cameras: Cameras, small_bundle: Path) -> None:
    cameras(FakeFeed(3, None))
    ran = command("run", small_bundle, "oak")
    assert "latency 80 ms (95 %: 80), 0 dropped, 0 lost, 0 skipped by the network, on OAK-D 1444, CAM_A" in ran.out


@pytest.mark.parametrize(("end", "code"), [(DeviceLostError("OAK camera: lost"), 1), (KeyboardInterrupt(), 130)])
def test_loss_and_ctrl_c_leave_a_finished_video_and_the_facts(
    command: Command, cameras: Cameras, small_bundle: Path, tmp_path: Path, end: BaseException, code: int
) -> None:
    (feed,) = cameras(FakeFeed(5, end))
    ran = command("run", small_bundle, "oak", "--save", tmp_path / "t.mp4", "--fps", "30", "--json")
    assert ran.code == code
    lost = "error: OAK camera: lost; --reconnect opens a lost camera again"
    assert ran.err.splitlines()[-1] == (lost if code == 1 else "note: stopped by Ctrl-C"), "it had no other end"
    assert json.loads(ran.out)["frames"] == 5
    assert frames_of(tmp_path / "t.mp4") >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.mp4"]
    assert feed.closed


def test_the_video_is_finished_before_the_camera_is_closed(
    command: Command, cameras: Cameras, small_bundle: Path, tmp_path: Path
) -> None:
    """Closing may take a camera long, or for ever."""
    path, there = tmp_path / "t.mp4", []
    for end in (DeviceLostError("lost"), KeyboardInterrupt()):
        (feed,) = cameras(FakeFeed(5, end))
        feed.close = lambda: there.append(path.is_file())  # type: ignore[method-assign]
        command("run", small_bundle, "oak", "--save", path)
        path.unlink()
    assert there == [True, True]


def test_a_camera_lost_before_its_first_frame_leaves_nothing(
    command: Command, cameras: Cameras, small_bundle: Path, tmp_path: Path
) -> None:
    cameras(FakeFeed(0, DeviceLostError("OAK camera: nothing came for 15 s")))
    ran = command("run", small_bundle, "oak", "--save", tmp_path / "t.mp4")
    assert (ran.code, ran.out) == (1, "")
    assert ran.errors == ["error: OAK camera: nothing came for 15 s"]
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_before_the_first_frame_claims_nothing(
    command: Command, cameras: Cameras, small_bundle: Path, tmp_path: Path
) -> None:
    cameras(FakeFeed(0, KeyboardInterrupt()))
    ran = command("run", small_bundle, "oak", "--save", tmp_path / "t.mp4")
    assert (ran.code, ran.out, ran.errors) == (130, "", ["error: interrupted"])
    assert list(tmp_path.iterdir()) == []


class FakeChip:
    """An extractor that finds a keypoint in some frames, and then ends."""

    def __init__(self, count: int, end: BaseException) -> None:
        self.count, self.end, self.closed = count, end, False

    def __enter__(self) -> FakeChip:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    task = KnownTask(None)

    def reading(self, image: np.ndarray) -> Reading[Any]:
        self.count -= 1
        if self.count < 0:
            raise self.end
        size = (image.shape[1], image.shape[0])
        return known_reading(
            Features(np.float32([[20, 20]]), np.ones(1, np.float32), np.ones((1, 1), np.float32), size), size
        )

    final_reading, in_flight = reading, 1

    def check(self, image: Any) -> None:
        """Takes any."""

    def description(self) -> str:
        return "a chip"


@pytest.mark.parametrize(("end", "code"), [(DeviceLostError("OAK camera: lost"), 1), (KeyboardInterrupt(), 130)])
@pytest.mark.parametrize("backend", ["depthai", "openvino"])
def test_frames_of_files_leave_a_finished_video_and_the_facts_too(
    command: Command,
    small_bundle: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    end: BaseException,
    code: int,
) -> None:
    chip = FakeChip(4, end)
    monkeypatch.setattr("oakpoint.oak.model.open_device_model", lambda path, **changes: None)
    monkeypatch.setattr("oakpoint.oak.extractor.camera_extractor", lambda model, options: chip)
    monkeypatch.setattr("oakpoint.cli.run.load", lambda *_, **__: chip)
    ran = command("run", small_bundle, clip, "--backend", backend, "--save", tmp_path / "t.mp4", "--json")
    assert ran.code == code
    facts = json.loads(ran.out)
    assert (facts["frames"], facts["saved"]) == (4, str(tmp_path / "t.mp4"))
    assert frames_of(tmp_path / "t.mp4") == 4
    assert chip.closed


def test_counts_are_shown_as_frames_come(
    command: Command, cameras: Cameras, small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oakpoint.cli.run_progress.LINE_EVERY_S", 0.0)
    cameras(FakeFeed(2, DeviceLostError("lost")), FakeFeed(2, None))
    ran = command("run", small_bundle, "oak", "--reconnect")
    lines = [line for line in ran.err.splitlines() if "frames, " in line]
    assert len(lines) == 4
    assert lines[0].startswith("1 frames, ")
    assert "80 ms latency" in lines[0]
    assert lines[-1].endswith("0 dropped, 0 lost, 0 skipped by the network, 1 reconnected")
    assert "1 reconnected, on OAK-D" in ran.out


def test_reconnection_goes_on_with_the_same_camera_and_recording(
    command: Command, cameras: Cameras, devices: list[str | None], small_bundle: Path, tmp_path: Path
) -> None:
    lost = DeviceLostError("OAK camera: lost")
    feeds = cameras(FakeFeed(3, lost), DeviceError("OAK camera: none found"), FakeFeed(2, None))
    ran = command("run", small_bundle, "oak", "--reconnect", "--save", tmp_path / "t", "--json")
    facts = json.loads(ran.out)
    assert (ran.code, facts["frames"], facts["reconnects"]) == (0, 5, 1)
    assert devices == [None, "1444", "1444"]
    assert "note: OAK camera: lost; opening it again in 1 s" in ran.err
    assert "note: OAK camera: none found; opening it again in 2 s" in ran.err
    assert ran.err.count("carries about 36 MB/s") == 1
    assert all(feed.closed for feed in feeds)


def test_ctrl_c_in_a_real_pipeline(small_bundle: Path, image_folder: Path, tmp_path: Path) -> None:
    """A folder's frames for ever, through DepthAI's runtime in a process of its own."""
    save = tmp_path / "frames"
    code = (
        "import itertools, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import oakpoint.cli.run_oak as run_oak\n"
        "real = run_oak.open_replay\n"
        "def forever(images, model, backend):\n"
        "    image = next(iter(images))\n"
        "    return real(itertools.repeat(image), model, backend)\n"
        "run_oak.open_replay = forever\n"
        "from oakpoint.cli.main import main; main()"
    )
    arguments = ["run", small_bundle, image_folder / "camera.png", "--backend", "depthai-replay", "--save", save]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".frames.oakpoint-*/frame_000002.png")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.strip().splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in error
    assert f"saved {save}" in out
    pictures = sorted(save.glob("*.png"))
    assert len(pictures) >= 3
    assert all(cv2.imread(str(picture)) is not None for picture in pictures)


def test_the_example_runs(small_bundle: Path, clip: Path) -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "oak_pipeline.py"
    done = subprocess.run(
        [sys.executable, str(example), str(small_bundle), str(clip)], capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert re.match(r"frame \d+: ", lines[0]), "on a busy machine the first ones give way to later ones"
    assert "descriptors (" in lines[0]


def test_a_mistake_in_the_example_is_one_line(clip: Path, tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "oak_pipeline.py"
    done = subprocess.run(
        [sys.executable, str(example), str(tmp_path), str(clip)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {tmp_path}: not a bundle; a camera runs what  oakpoint convert  makes"


def test_a_node_that_failed_says_why_in_a_pipeline_of_ones_own(small_bundle: Path) -> None:
    from oakpoint.errors import BackendError
    from oakpoint.oak.model import open_stand_in
    from oakpoint.oak.node import KeypointsNode
    from oakpoint.oak.replay import host_pipeline
    from oakpoint.oak.runtime import stop_pipeline
    from oakpoint.oak.stand_in import ImagesNode
    from oakpoint.oak.tensors import nn_data_from_tensors

    model, backend = open_stand_in(small_bundle, "openvino")
    with backend:
        pipeline = host_pipeline()
        keypoints = pipeline.create(KeypointsNode).build(pipeline.create(ImagesNode).build(()).out, model)
        data = keypoints.input.createInputQueue()
        pipeline.start()
        keypoints.raise_failure()  # nothing has failed
        data.send(nn_data_from_tensors({"boxes": np.zeros((1, 4), np.float32)}))
        pipeline.wait()
        stop_pipeline(pipeline)
    with pytest.raises(BackendError, match="expected the tensors semi, desc, got boxes"):
        keypoints.raise_failure()
