"""Whatever ends ``oakpoint run``: a finished recording, the figures, one line; and cameras' recordings keep time."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import frames_of, write_clip

from oakpoint.errors import BackendError
from oakpoint.view.results import keypoints as keypoints_view

Command = Callable[..., Any]

SIGNALS = {signal.SIGINT: (130, "Ctrl-C"), signal.SIGTERM: (143, "SIGTERM"), signal.SIGHUP: (129, "SIGHUP")}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Any]) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.avi", photographs["camera"], frames=8)


NAMES = ["t.mp4", "t.gif", "t"]


# What fails in the middle of a file.


def failing_after(count: int, real: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    calls = 0

    def function(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > count:
            raise error
        return real(*arguments, **options)

    return function


def in_drawing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = keypoints_view.draw_tracks

    def function(image: Any, positions: Any, ages: Any) -> Any:  # frames are drawn side by side, in any order
        if ages.max() > 4:
            raise error
        return real(image, positions, ages)

    monkeypatch.setattr(keypoints_view, "draw_tracks", function)


def in_tracking(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from oakpoint.features.tracking import Tracker

    monkeypatch.setattr(Tracker, "update", failing_after(4, Tracker.update, error))


def in_the_backend(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from oakpoint.extractor import Extractor

    monkeypatch.setattr("oakpoint.loading.images_in_flight", lambda _: 1)  # so that the fifth call is the fifth frame's
    monkeypatch.setattr(Extractor, "reading", failing_after(4, Extractor.reading, error))


def in_the_source(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from oakpoint.images import sources

    monkeypatch.setattr(sources, "_next_picture", failing_after(4, sources._next_picture, error))


def in_the_recording(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from oakpoint.run.recordings.base import Recording

    monkeypatch.setattr(Recording, "write", failing_after(4, Recording.write, error))


PLACES = [in_drawing, in_tracking, in_the_backend, in_the_source, in_the_recording]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", PLACES)
def test_what_was_recorded_until_an_error_is_kept(
    command: Command,
    small_bundle: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[..., None],
    name: str,
) -> None:
    place(monkeypatch, BackendError("it broke"))
    ran = command("run", small_bundle, clip, "--save", tmp_path / name, "--json")
    assert (ran.code, ran.errors) == (1, ["error: it broke"])
    facts = json.loads(ran.out)
    assert (facts["frames"], facts["saved"]) == (4, str(tmp_path / name))
    assert frames_of(tmp_path / name) == 4
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        *((place, ValueError("two\nlines")) for place in PLACES),
        *((in_drawing, error) for error in (cv2.error("bad"), OSError(5, "I/O error"), MemoryError())),
    ],
)
def test_an_error_that_nobody_foresaw_is_one_line_too(
    command: Command,
    small_bundle: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[..., None],
    error: Exception,
) -> None:
    place(monkeypatch, error)
    ran = command("run", small_bundle, clip, "--save", tmp_path / "t.mp4")
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert ran.errors[0].startswith(f"error: after 4 frames: {type(error).__name__}: ")
    assert ran.out.startswith("4 frames, ")
    assert f"saved {tmp_path / 't.mp4'}" in ran.out
    assert frames_of(tmp_path / "t.mp4") == 4


def test_before_the_first_frame_nothing_is_claimed(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keypoints_view, "draw_tracks", failing_after(0, keypoints_view.draw_tracks, ValueError("x")))
    ran = command("run", small_bundle, clip, "--save", tmp_path / "t.mp4")
    assert (ran.code, ran.out, len(ran.errors)) == (1, "", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_recording_that_could_not_be_finished_is_not_claimed(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imwriteanimation", lambda *_: False)
    ran = command("run", small_bundle, clip, "--save", tmp_path / "t.gif", "--json")
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert "disk full" in ran.errors[0]
    facts = json.loads(ran.out)
    assert (facts["frames"], facts["saved"]) == (8, None)
    assert list(tmp_path.iterdir()) == []


# A webcam.


class Camera:
    """A webcam of OpenCV that says 30 fps and delivers at these times, by a clock of its own, and then ends."""

    def __init__(self, photograph: np.ndarray, times_s: Iterable[float], end: Callable[[], None]) -> None:
        self._photograph, self._times_s, self._end = photograph, iter(times_s), end
        self.number, self.now_s = 0, 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        time_s = next(self._times_s, None)
        if time_s is None:
            self._end()
            return False, None
        self.now_s, self.number = float(time_s), self.number + 1
        picture = self._photograph[150:310, 100 + self.number % 60 : 300 + self.number % 60]
        return True, cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)

    def get(self, _property: int) -> float:
        return 30.0

    def release(self) -> None:
        pass


Webcam = Callable[..., Camera]


@pytest.fixture
def listened_to() -> Iterator[None]:
    """No signal is ignored, as where the suite runs in the background or under nohup."""
    defaults = dict.fromkeys(SIGNALS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch, photographs: dict[str, Any]) -> Webcam:
    """Puts a camera in the place of the webcam 0."""
    real = cv2.VideoCapture

    def put(times_s: Iterable[float], end: Callable[[], None] = lambda: None) -> Camera:
        camera = Camera(photographs["camera"], times_s, end)
        monkeypatch.setattr(cv2, "VideoCapture", lambda source, *_: camera if source == 0 else real(source))
        monkeypatch.setattr("oakpoint.images.webcam.time", SimpleNamespace(monotonic=lambda: camera.now_s))
        monkeypatch.setattr("oakpoint.images.webcam.LATEST_ONLY", False)  # it delivers faster than anybody takes
        return camera

    return put


def test_a_webcam_that_stops_leaves_a_finished_video_and_the_facts(
    command: Command, webcam: Webcam, small_bundle: Path, tmp_path: Path
) -> None:
    webcam(np.arange(6) / 30)
    ran = command("run", small_bundle, "0", "--save", tmp_path / "t.mp4", "--json")
    assert (ran.code, ran.errors) == (1, ["error: webcam 0: stopped delivering after 6 frames"])
    assert (json.loads(ran.out)["frames"], json.loads(ran.out)["saved"]) == (6, str(tmp_path / "t.mp4"))
    assert frames_of(tmp_path / "t.mp4") == 6
    assert [path.name for path in tmp_path.iterdir()] == ["t.mp4"]


@pytest.mark.parametrize("number", SIGNALS)
def test_its_normal_end_is_no_error(
    command: Command, webcam: Webcam, small_bundle: Path, tmp_path: Path, listened_to: None, number: signal.Signals
) -> None:
    def press() -> None:
        os.kill(os.getpid(), number)

    webcam(np.arange(6) / 30, press)
    ran = command("run", small_bundle, "0", "--save", tmp_path / "t.mp4")
    code, word = SIGNALS[number]
    assert (ran.code, ran.errors, ran.err.splitlines()[-1]) == (code, [], f"note: stopped by {word}")
    told = int(ran.out.split(" frames, ")[0])
    assert 1 <= frames_of(tmp_path / "t.mp4") == told <= 6


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_a_library_swallows_ends_it_with_the_next_frame(
    command: Command, webcam: Webcam, small_bundle: Path, tmp_path: Path, listened_to: None, number: signal.Signals
) -> None:
    """As a callback from C does, whose exceptions go nowhere."""

    def times_s() -> Iterator[float]:
        for frame in itertools.count():
            if frame == 4:
                handler = signal.getsignal(number)
                assert callable(handler)
                with contextlib.suppress(KeyboardInterrupt):
                    handler(number, None)
            yield frame / 30

    webcam(times_s())
    ran = command("run", small_bundle, "0", "--save", tmp_path / "t.mp4", "--max-frames", "20")
    assert (ran.code, ran.errors) == (SIGNALS[number][0], [])
    assert 1 <= frames_of(tmp_path / "t.mp4") == int(ran.out.split(" frames, ")[0]) <= 4


@pytest.mark.parametrize(
    "times_s",
    [np.arange(16) / 5, np.arange(90) / 60, np.cumsum([0, 0.03, 0.5, 0.03, 3.0, 0.2])],
    ids=["5 fps", "60 fps", "stalls"],
)
@pytest.mark.parametrize("backend", ["openvino", "depthai-replay"])
def test_its_recording_plays_as_fast_as_it_came(
    command: Command,
    webcam: Webcam,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    times_s: np.ndarray,
    backend: str,
) -> None:
    webcam(itertools.chain(times_s, itertools.repeat(times_s[-1])))  # DepthAI's runtime reads ahead
    if backend == "depthai-replay":
        pytest.importorskip("depthai")
        from oakpoint.cli import run_oak

        real = run_oak.observed_live_frames

        def at_the_cameras_times(frames: Any) -> Any:
            return real(replace(frame, time_s=float(times_s[number])) for number, frame in enumerate(frames))

        monkeypatch.setattr(run_oak, "observed_live_frames", at_the_cameras_times)
    save = tmp_path / "t.mp4"
    command("run", small_bundle, "0", "--backend", backend, "--save", save, "--max-frames", len(times_s))
    with av.open(str(save)) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx(times_s, abs=1e-3)


def test_a_folder_keeps_each_frame_once(command: Command, webcam: Webcam, small_bundle: Path, tmp_path: Path) -> None:
    webcam(np.arange(6) / 5)
    command("run", small_bundle, "0", "--save", tmp_path / "t", "--max-frames", "6")
    assert frames_of(tmp_path / "t") == 6


# Signals to a process of its own.

FOR_EVER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background, or under nohup, ignores them
signal.signal(signal.SIGHUP, signal.SIG_DFL)
import av
import cv2
import oakpoint.images.sources as sources
real = sources._next_picture
def again(capture):
    found = real(capture)
    if found is None:
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        found = real(capture)
    return found
sources._next_picture = again
from oakpoint.cli.main import main; main()
"""


def ended_by(number: signal.Signals, *arguments: object, folder: Path, times: int = 1) -> tuple[int, str, str]:
    """Run a program on a video that never ends until some of it is recorded, then send it a signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", FOR_EVER, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 20_000 for path in folder.rglob("*") if path.is_file()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    for _ in range(times):
        process.send_signal(number)
    out, error = process.communicate(timeout=60)
    return process.returncode, out, error


@pytest.mark.parametrize("name", ["t.mp4", "t"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_a_finished_recording_and_the_figures(
    small_bundle: Path, clip: Path, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    save = tmp_path / name
    code, out, error = ended_by(number, "run", small_bundle, clip, "--save", save, folder=tmp_path)
    told, word = SIGNALS[number]
    assert code == told, error
    last = "error: interrupted" if number is signal.SIGINT else f"error: interrupted by {word}"
    assert error.strip().splitlines()[-1] == last
    assert "Traceback" not in error
    assert f"saved {save}" in out
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert frames_of(save) == int(out.split(" frames, ")[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_in_a_row_leave_nothing_half_written(
    small_bundle: Path, clip: Path, tmp_path: Path, number: signal.Signals
) -> None:
    save = tmp_path / "t.mp4"
    code, _, error = ended_by(number, "run", small_bundle, clip, "--save", save, folder=tmp_path, times=3)
    assert code == SIGNALS[number][0]
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["t.mp4"]
    assert frames_of(save) > 0


def test_a_program_that_was_started_to_ignore_a_signal_goes_on(small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    """As ``nohup`` starts it."""
    program = FOR_EVER.replace("SIG_DFL", "SIG_IGN").replace(
        "main()", "import os, threading; threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGHUP)).start(); main()"
    )
    arguments = ["run", small_bundle, clip, "--save", tmp_path / "t.mp4", "--max-frames", "40"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert frames_of(tmp_path / "t.mp4") == 40


@pytest.mark.shared
@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_signal_in_a_real_clip(shared: Path, tmp_path: Path, number: signal.Signals) -> None:
    save = tmp_path / "t.mp4"
    clip = shared / "clips" / "boofcv_dashcam02.mp4"
    code, out, error = ended_by(number, "run", "acorn", clip, "--size", "160x96", "--save", save, folder=tmp_path)
    assert (code, "Traceback" in error) == (SIGNALS[number][0], False)
    assert frames_of(save) == int(out.split(" frames, ")[0])


# What is said.


def test_a_60_fps_clip_becomes_a_gif_and_it_is_said(
    command: Command, small_bundle: Path, photographs: dict[str, Any], tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.avi", photographs["camera"], frames=30, fps=60)
    ran = command("run", small_bundle, clip, "--save", tmp_path / "t.gif")
    assert (ran.code, ran.errors) == (0, [])
    said = "note: a GIF shows 50 frames per second at most: of every 60, 50 are kept; .mp4 keeps all"
    assert ran.err.splitlines()[1:] == [said]
    assert ran.out.startswith("30 frames, ")
    found, animation = cv2.imreadanimation(str(tmp_path / "t.gif"))
    assert found
    assert (len(animation.frames), sum(animation.durations)) == (25, 500)


def test_progress_is_no_note(command: Command, small_bundle: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oakpoint.cli.run_progress.LINE_EVERY_S", 0.0)
    ran = command("run", small_bundle, clip)
    lines = ran.errors
    assert len(lines) == 8, "and they are no notes"
    assert lines[0].startswith("1 of 8 frames, ")
    assert all("ms extract+track, " in line for line in lines)
    assert all(" fps done, " in line for line in lines[1:])


def test_the_figures_say_what_they_measure(command: Command, small_bundle: Path, clip: Path) -> None:
    ran = command("run", small_bundle, clip)
    assert " fps overall, " in ran.out
    assert " ms a frame to extract and track on openvino" in ran.out
    facts = json.loads(command("run", small_bundle, clip, "--json").out)
    assert facts["rate_fps"] > 0
    assert facts["milliseconds_median"] > 0  # a frame's own, with others in work meanwhile: no bound of the rate


def test_what_is_read_is_not_recorded_over(command: Command, small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "c.mp4"
    copy.write_bytes(clip.read_bytes())
    (tmp_path / "link.mp4").symlink_to(copy)
    for save in (copy, tmp_path / "link.mp4"):
        ran = command("run", small_bundle, copy, "--save", save)
        assert (ran.code, ran.out) == (1, "")
        assert ran.errors == [f"error: {save}: is what is read, and would be lost; choose another --save"]
    assert command("run", small_bundle, copy, "--save", tmp_path / "t").code == 0
    assert command("run", small_bundle, tmp_path / "t", "--save", tmp_path / "t").code == 1
    assert frames_of(tmp_path / "t") == 8
    assert copy.read_bytes() == clip.read_bytes()


def test_a_place_within_the_recording_that_is_replaced(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path
) -> None:
    assert command("run", small_bundle, clip, "--save", tmp_path / "t").code == 0
    for data in (tmp_path / "t" / "d.jsonl", tmp_path / "t" / ".." / "t" / "d.jsonl"):
        ran = command("run", small_bundle, clip, "--save", tmp_path / "t", "--data", data)
        assert (ran.code, len(ran.errors)) == (1, 1)
        assert "lies in --save, which is replaced as a whole" in ran.errors[0]
    assert len(list((tmp_path / "t").glob("*.png"))) == 8


@pytest.mark.parametrize("name", ["[red]t.mp4", "[", "a[0].gif"])
def test_a_path_is_told_letter_by_letter(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path, name: str
) -> None:
    ran = command("run", small_bundle, clip, "--save", tmp_path / name, "--data", tmp_path / "[b].jsonl")
    assert ran.code == 0
    assert ran.out.splitlines()[1:] == [f"saved {tmp_path / name}", f"data {tmp_path / '[b].jsonl'}"]
