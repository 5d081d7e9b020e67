"""The rates that are shown: of what, and that they are true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from readings import KnownPredictor, known_reading, tracked

from oakpoint.features.tracking import Tracker
from oakpoint.features.types import Features
from oakpoint.images.sources import Frame
from oakpoint.oak.live import LiveFrame
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import TrackedFrame, observed_frames, observed_live_frames
from oakpoint.run.summary import RunSummary
from oakpoint.run.tracking import RATE_WINDOW, FrameTracker

FEATURES = Features(np.float32([[20, 20]]), np.ones(1, np.float32), np.ones((1, 1), np.float32), (64, 48))


class Clock:
    """Time goes on only where it is said to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def run(clock: Clock, *, read_s: float, extract_s: float, record_s: float, count: int = 40) -> list[TrackedFrame]:
    """Frames of a file that take so long to read, extract, and draw and record."""

    def frames() -> Iterator[Frame]:
        for index in range(count):
            clock.now_s += read_s
            yield Frame(np.zeros((48, 64), np.uint8), index, f"f-{index}", index / 30)

    def extract() -> None:
        clock.now_s += extract_s

    seen = []
    summary = RunSummary(clock=clock)
    predictor: Any = KnownPredictor(FEATURES, extract)
    tracker = FrameTracker(ControlBoard(predictor.task), Tracker(max_length=20, max_distance=0.7), clock=clock)
    for frame in tracker.frames(observed_frames(frames(), predictor, clock=clock)):
        seen.append(frame)
        clock.now_s += record_s
        summary.add(frame)
    facts = summary.facts()
    assert facts["rate_fps"] == pytest.approx(1 / (read_s + extract_s + record_s))
    assert facts["milliseconds_median"] == pytest.approx(1e3 * extract_s)
    return seen


def test_the_rate_is_that_at_which_frames_come_out() -> None:
    seen = run(Clock(), read_s=0.005, extract_s=0.0075, record_s=0.019)
    assert seen[0].rate_fps is None, "nothing lies between one frame"
    assert [frame.rate_fps for frame in seen[1:]] == pytest.approx([1 / 0.0315] * (len(seen) - 1))
    assert [frame.seconds for frame in seen] == pytest.approx([0.0075] * len(seen))
    assert [frame.time_s for frame in seen] == [index / 30 for index in range(len(seen))]


def test_it_is_that_of_the_last_frames() -> None:
    clock = Clock()
    fast = run(clock, read_s=0, extract_s=0.01, record_s=0, count=RATE_WINDOW + 1)
    assert fast[-1].rate_fps == pytest.approx(100)


def test_figures_say_what_they_measure() -> None:
    seen = run(Clock(), read_s=0.005, extract_s=0.0075, record_s=0.019)
    assert seen[0].timing() == ["7.5 ms extract+track"]
    assert seen[-1].timing() == ["31.7 fps done", "7.5 ms extract+track"]
    assert seen[-1].stages_s == pytest.approx({"read": 0.005, "network": 0.0075, "decode": 0, "track": 0})


def test_a_cameras_are_its_rate_and_its_latency() -> None:
    reading = known_reading(FEATURES)
    live = [LiveFrame(np.zeros((48, 64), np.uint8), reading, n, 0.08, 10 + n / 20) for n in range(5)]
    tracker = FrameTracker(ControlBoard(KnownPredictor(FEATURES).task), Tracker(max_length=20, max_distance=0.7))
    seen = list(tracker.frames(observed_live_frames(live)))
    assert seen[0].timing() == ["80 ms latency"]
    assert seen[-1].timing() == ["20.0 fps arriving", "80 ms latency"]
    assert seen[-1].time_s == pytest.approx(10.2)


def test_one_frame_has_no_rate() -> None:
    summary = RunSummary()
    (frame,) = tracked(
        [Frame(np.zeros((48, 64), np.uint8), 0, "a", None)], FEATURES, Tracker(max_length=20, max_distance=0.7)
    )
    summary.add(frame)
    assert summary.facts()["rate_fps"] is None
    assert frame.picture().shape[1:] == (64, 3)
