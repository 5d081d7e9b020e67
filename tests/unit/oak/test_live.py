"""Pairing, counting, time-outs and reconnection on scripted feeds, with a clock that moves only when told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from readings import known_reading

from oakpoint.errors import BackendError, DeviceError, DeviceLostError
from oakpoint.features.types import Features
from oakpoint.oak.feed import Feed, Result, ShownFrame
from oakpoint.oak.live import LiveFrame, LiveStatistics, ReconnectingFrames, Timing, live_frames

FEATURES = Features(np.zeros((1, 2), np.float32), np.ones(1, np.float32), np.ones((1, 1), np.float32), (8, 8))


class Clock:
    """Every wait of a feed that gives nothing takes as long as it may."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def frame(number: int) -> ShownFrame:
    return ShownFrame(number, lambda: np.full((8, 8), number, np.uint8))


def result(number: int, serial: int, *, dropped: int = 0, latency_s: float = 0.1) -> Result:
    return Result(number, lambda shown: known_reading(FEATURES), latency_s, number / 20, serial, dropped)


Step = tuple[Sequence[int], Result | Exception | None]
"""Frames that come, and then a result, a failure, or nothing within the wait."""


class ScriptedFeed(Feed):
    """Plays steps, and ends after the last one, or goes silent."""

    def __init__(
        self, clock: Clock, steps: Sequence[Step], *, silent: bool = False, notes: tuple[str, ...] = ()
    ) -> None:
        self.description = "script"
        self.facts = {}
        self.notes = notes
        self.closed = 0
        self._clock = clock
        self._steps = list(steps)
        self._silent = silent
        self._frames: list[ShownFrame] = []

    def next_result(self, timeout_s: float) -> Result | None:
        if not self._steps:
            self._clock.now += timeout_s
            return None
        numbers, outcome = self._steps.pop(0)
        self._frames += [frame(number) for number in numbers]
        if isinstance(outcome, Exception):
            raise outcome
        self._clock.now += timeout_s if outcome is None else 0.05
        return outcome

    def new_frames(self, timeout_s: float) -> list[ShownFrame]:
        frames, self._frames = self._frames, []
        if not frames:
            self._clock.now += timeout_s
        return frames

    @property
    def finished(self) -> bool:
        return not self._steps and not self._silent

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


def played(clock: Clock, steps: Sequence[Step], **options: Any) -> tuple[list[LiveFrame], LiveStatistics]:
    statistics = LiveStatistics()
    timing = Timing(clock=clock, sleep=clock.sleep)
    return list(live_frames(ScriptedFeed(clock, steps, **options), statistics, timing)), statistics


def test_each_result_gets_the_frame_of_its_number(clock: Clock) -> None:
    steps: list[Step] = [((5, 6), result(5, 0)), ((), result(6, 1)), ((7,), result(7, 2))]
    frames, statistics = played(clock, steps)
    assert [(f.sequence, int(f.image[0, 0])) for f in frames] == [(5, 5), (6, 6), (7, 7)]
    facts = statistics.facts()
    assert (statistics.frames, facts["results_dropped_by_host"], facts["frames_lost"]) == (3, 0, 0)
    assert facts["latency_ms_median"] == pytest.approx(100)
    assert facts["rate_fps"] == pytest.approx(2 / (frames[-1].time_s - frames[0].time_s))


def test_frames_that_the_network_skipped_are_counted_and_not_shown(clock: Clock) -> None:
    frames, statistics = played(clock, [((0, 1, 2, 3), result(0, 0)), ((4, 5), result(4, 1))])
    assert [f.sequence for f in frames] == [0, 4]
    assert (statistics.skipped, statistics.dropped, statistics.lost) == (3, 0, 0)


def test_results_that_the_host_was_too_slow_for_are_counted(clock: Clock) -> None:
    # 1 and 2 were left out before decoding, 4 was decoded and overtaken in the queue.
    steps: list[Step] = [((0,), result(0, 0)), ((1, 2, 3), result(3, 1, dropped=2)), ((4, 5), result(5, 3, dropped=2))]
    frames, statistics = played(clock, steps)
    assert [f.sequence for f in frames] == [0, 3, 5]
    assert (statistics.dropped, statistics.skipped) == (3, 0)


def test_a_frame_that_comes_late_is_waited_for(clock: Clock) -> None:
    class Late(ScriptedFeed):
        def new_frames(self, timeout_s: float) -> list[ShownFrame]:
            self._clock.now += timeout_s
            return [frame(0)] if timeout_s > 0 else []

    statistics = LiveStatistics()
    late = Late(clock, [((), result(0, 0))])
    assert [f.sequence for f in live_frames(late, statistics, Timing(clock=clock))] == [0]
    assert statistics.lost == 0


def test_a_lost_frame_is_counted_and_the_run_goes_on(clock: Clock) -> None:
    frames, statistics = played(clock, [((0,), result(0, 0)), ((2,), result(1, 1)), ((), result(2, 2))])
    assert [f.sequence for f in frames] == [0, 2]
    assert statistics.lost == 1


def test_a_frame_that_never_comes_does_not_stop_the_run(clock: Clock) -> None:
    frames, statistics = played(clock, [((), result(0, 0)), ((1,), result(1, 1))])
    assert [f.sequence for f in frames] == [1]
    assert statistics.lost == 1


def test_silence_is_a_loss(clock: Clock) -> None:
    with pytest.raises(DeviceLostError, match=r"nothing came for 15 s"):
        played(clock, [((0,), result(0, 0))], silent=True)
    assert clock.now == pytest.approx(15, abs=0.5)


def test_results_whose_frames_never_come_are_a_loss(clock: Clock) -> None:
    with pytest.raises(DeviceLostError, match=r"for 15 s none of the frames to show them on; run without --preview"):
        played(clock, [((0,), result(0, 0)), *(((), result(k, k)) for k in range(1, 100))])
    assert clock.now == pytest.approx(16, abs=1)


def test_a_host_that_stood_still_is_not_a_loss(clock: Clock) -> None:
    steps: list[Step] = [((0,), result(0, 0)), ((2,), result(1, 1)), ((), result(2, 2))]
    frames = live_frames(ScriptedFeed(clock, steps), LiveStatistics(), Timing(clock=clock))
    assert next(frames).sequence == 0
    clock.now += 60
    assert [frame.sequence for frame in frames] == [2]


def test_a_stand_in_may_compute_as_long_as_it_needs(clock: Clock) -> None:
    steps: list[Step] = [((), None)] * 1000 + [((0,), result(0, 0))]
    timing = Timing(clock=clock, stall_s=None)
    assert len(list(live_frames(ScriptedFeed(clock, steps), LiveStatistics(), timing))) == 1


LOST = DeviceLostError("lost")


class Camera:
    """Opens the next of several feeds, or fails."""

    def __init__(self, *outcomes: Feed | Exception) -> None:
        self._outcomes = list(outcomes)
        self.told: list[str] = []
        self.opened = 0

    def open(self) -> Feed:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        self.opened += 1
        return outcome

    def run(self, clock: Clock, statistics: LiveStatistics, *, reconnect: bool) -> Any:
        return ReconnectingFrames(
            self.open,
            statistics,
            Timing(clock=clock, sleep=clock.sleep),
            reconnect=reconnect,
            opened=lambda feed: None,
            waiting=lambda error, seconds: self.told.append(f"{error} {seconds:g}"),
        )


def feeds(clock: Clock) -> Callable[..., ScriptedFeed]:
    return lambda *steps, **options: ScriptedFeed(clock, steps, **options)


def test_a_lost_camera_is_an_error_unless_reconnection_is_asked_for(clock: Clock) -> None:
    feed = ScriptedFeed(clock, [((0,), result(0, 0)), ((), LOST)])
    frames = Camera(feed).run(clock, LiveStatistics(), reconnect=False)
    assert next(frames).sequence == 0
    with pytest.raises(DeviceLostError, match="lost"):
        next(frames)
    assert feed.closed == 0, "a recording is finished first"
    frames.close()
    frames.close()
    assert feed.closed == 1


def test_it_is_opened_again_with_growing_pauses(clock: Clock) -> None:
    make = feeds(clock)
    gone = DeviceError("none found")
    first, second = make(((0,), result(0, 0)), ((), LOST)), make(((0,), result(0, 0)), ((), LOST))
    last = make(((7,), result(7, 0)))
    camera = Camera(first, gone, gone, gone, gone, gone, second, last)
    statistics = LiveStatistics()
    with contextlib.closing(camera.run(clock, statistics, reconnect=True)) as run:
        numbers = [f.sequence for f in run]
    assert numbers == [0, 0, 7]
    assert clock.slept == [1, 2, 4, 8, 16, 30, 1], "doubling up to 30 s, and from the start after a frame came"
    assert camera.told[:2] == ["lost 1", "none found 2"]
    assert statistics.reconnects == 2
    assert [feed.closed for feed in (first, second, last)] == [1, 1, 1]


def test_a_camera_that_cannot_be_opened_at_first_is_an_error_at_once(clock: Clock) -> None:
    with pytest.raises(DeviceError, match="none found"):
        next(Camera(DeviceError("none found")).run(clock, LiveStatistics(), reconnect=True))
    assert clock.slept == []


def test_a_camera_that_gives_no_frame_at_first_is_not_opened_again(clock: Clock) -> None:
    feed = ScriptedFeed(clock, [], silent=True)
    with pytest.raises(DeviceLostError, match="nothing came"):
        next(Camera(feed).run(clock, LiveStatistics(), reconnect=True))
    assert clock.slept == []


def test_a_fault_that_is_not_the_cameras_is_not_tried_again(clock: Clock) -> None:
    feed = ScriptedFeed(clock, [((0,), result(0, 0)), ((), BackendError("wrong tensors"))])
    camera = Camera(feed)
    with pytest.raises(BackendError, match="wrong tensors"):
        list(camera.run(clock, LiveStatistics(), reconnect=True))
    assert (camera.opened, clock.slept) == (1, [])


def test_leaving_early_gives_the_camera_back(clock: Clock) -> None:
    feed = ScriptedFeed(clock, [((0,), result(0, 0)), ((1,), result(1, 1))])
    frames = Camera(feed).run(clock, LiveStatistics(), reconnect=True)
    next(frames)
    frames.close()
    assert feed.closed == 1


def test_nothing_measured_is_no_figure() -> None:
    facts = LiveStatistics().facts()
    assert (facts["rate_fps"], facts["latency_ms_median"], facts["latency_ms_p95"]) == (None, None, None)
