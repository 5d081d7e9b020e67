"""Frames with what was found in them: paired, counted, timed, reconnected when asked. Knows nothing of depthai."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import DeviceError
from oakpoint.features.types import Features
from oakpoint.oak.faults import stalled_fault, unpaired_fault
from oakpoint.oak.feed import Feed, Result, ShownFrame
from oakpoint.oak.pairing import Pairing
from oakpoint.tasks.reading import Reading

POLL_S = 0.1
"""How long one wait for a message lasts, so that Ctrl-C is heard in between."""

PAIR_WAIT_S = 1.0
"""How long the frame of a result may be late; then it counts as lost."""

STALL_S = 15.0
"""A camera that sends nothing for so long counts as lost. The first result takes the chip a few seconds."""

LONGEST_BACK_OFF_S = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class LiveFrame:
    """A frame and what the network found in it.

    Attributes:
        image: uint8 (H, W) or (H, W, 3) BGR.
        reading: the network's outputs, to be read in pixels of ``image``; the model's own task has read them already.
        sequence: the frame's number.
        latency_s: seconds from the capture to the end of reading.
        time_s: when it was captured, by ``time.monotonic``.
    """

    image: NDArray[np.uint8]
    reading: Reading[Any]
    sequence: int
    latency_s: float
    time_s: float

    @property
    def result(self) -> Any:
        """What the model's own task reads, in pixels of ``image``."""
        assert self.reading.known is not None, "a feed reads what it sends"
        return self.reading.result(self.reading.known[0])

    @property
    def features(self) -> Features:
        """The result, of a network with keypoints."""
        found = self.result
        assert isinstance(found, Features), "asked for where keypoints are wanted"
        return found


@dataclass(slots=True)
class LiveStatistics:
    """Counts and times of a run, over all connections.

    Attributes:
        frames: frames that came out with their features.
        dropped: results left out because the host was slower than they came.
        lost: results whose frame never came.
        skipped: frames that the network did not take because it was slower than the camera; and what a host that
            stands still for longer than its queue of results holds (``node.WAITING``) never hears of.
        reconnects: how often the camera was opened again.
        latencies_s: from capture to features, of each frame.
        seconds: from the first frame to the last one, pauses between connections left out.
        intervals: as many intervals between frames lie in ``seconds``.
    """

    frames: int = 0
    dropped: int = 0
    lost: int = 0
    skipped: int = 0
    reconnects: int = 0
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    seconds: float = 0.0
    intervals: int = 0

    def facts(self) -> dict[str, float | int | None]:
        """The figures: achieved rate, latency's median and 95th percentile, counts. None where nothing was measured."""
        latencies = np.array(self.latencies_s) * 1e3
        return {
            "rate_fps": self.intervals / self.seconds if self.seconds > 0 else None,
            "latency_ms_median": float(np.median(latencies)) if len(latencies) else None,
            "latency_ms_p95": float(np.percentile(latencies, 95)) if len(latencies) else None,
            **self.counts(),
        }

    def counts(self) -> dict[str, int]:
        """What was left out, and how often the camera was opened again; at hand at any time of a long run."""
        return {
            "results_dropped_by_host": self.dropped,
            "frames_lost": self.lost,
            "frames_skipped_by_network": self.skipped,
            "reconnects": self.reconnects,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The clock and the limits of a run; tests bring their own.

    Attributes:
        clock: seconds, monotonic.
        sleep: waits for seconds.
        stall_s: see ``STALL_S``, for results as for frames to show them on; None waits for ever, for stand-ins that
            compute as long as they need.
        pair_wait_s: see ``PAIR_WAIT_S``.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    stall_s: float | None = STALL_S
    pair_wait_s: float = PAIR_WAIT_S


def live_frames(feed: Feed, statistics: LiveStatistics, timing: Timing) -> Iterator[LiveFrame]:
    """Frames with their features until the feed ends.

    Raises:
        DeviceLostError: the camera is gone, or sends no results or no frames any more.
        OakpointError: a node failed.
    """
    pairing: Pairing[ShownFrame] = Pairing()
    tally = _Tally(statistics)
    last_heard = last_paired = timing.clock()
    last_frame: float | None = None
    while True:
        result = feed.next_result(POLL_S)
        _add(pairing, feed.new_frames(0.0))
        if result is None:
            if feed.finished:
                return
            if timing.stall_s is not None and timing.clock() - last_heard > timing.stall_s:
                raise stalled_fault(timing.stall_s)
            continue
        last_heard = timing.clock()
        tally.count(result)
        shown = _frame_of(result, feed, pairing, timing)
        if shown is None:
            statistics.lost += 1
            if timing.stall_s is not None and timing.clock() - last_paired > timing.stall_s:
                raise unpaired_fault(timing.stall_s)
            continue
        frame = LiveFrame(shown.image(), result.reading_in(shown), result.sequence, result.latency_s, result.captured_s)
        statistics.frames += 1
        statistics.latencies_s.append(result.latency_s)
        if last_frame is not None:
            statistics.seconds += last_heard - last_frame
            statistics.intervals += 1
        last_frame = last_heard
        yield frame
        last_paired = timing.clock()


@final
class ReconnectingFrames(Iterator[LiveFrame]):
    """As ``live_frames``; when the camera is lost it is opened again, after 1, 2, 4, … and at most 30 s.

    A camera that gives no frame at first is an error whether to reconnect or not: that is a mistake to mend. After an
    error the camera stays open until ``close``, so that a recording can be finished before, however long the camera
    takes to close.
    """

    def __init__(
        self,
        open_feed: Callable[[], Feed],
        statistics: LiveStatistics,
        timing: Timing,
        *,
        reconnect: bool,
        opened: Callable[[Feed], None],
        waiting: Callable[[DeviceError, float], None],
    ) -> None:
        """Open nothing yet.

        Args:
            open_feed: opens the camera.
            statistics: is added to.
            timing: clock and limits.
            reconnect: whether to open a lost camera again.
            opened: is told of every feed that was opened.
            waiting: is told why the camera is opened again, and in how many seconds.
        """
        self._open_feed = open_feed
        self._statistics = statistics
        self._timing = timing
        self._reconnect = reconnect
        self._opened = opened
        self._waiting = waiting
        self._feed: Feed | None = None
        self._frames: Iterator[LiveFrame] | None = None
        self._came = False
        self._pause_s = 1.0

    def __next__(self) -> LiveFrame:
        """The next frame.

        Raises:
            DeviceError: it cannot be opened, or was lost and is not to be opened again.
            OakpointError: see ``live_frames``.
        """
        while True:
            try:
                frame = next(self._frames or self._open())
            except DeviceError as error:  # noqa: PERF203  # once for each connection
                if not (self._reconnect and self._came):
                    raise
                self.close()
                self._waiting(error, self._pause_s)
                self._timing.sleep(self._pause_s)
                self._pause_s = min(2 * self._pause_s, LONGEST_BACK_OFF_S)
            else:
                self._came, self._pause_s = True, 1.0
                return frame

    def close(self) -> None:
        """Give the camera back."""
        feed, self._feed, self._frames = self._feed, None, None
        if feed is not None:
            feed.close()

    def _open(self) -> Iterator[LiveFrame]:
        self._feed = self._open_feed()
        self._opened(self._feed)
        self._statistics.reconnects += self._came
        self._frames = live_frames(self._feed, self._statistics, self._timing)
        return self._frames


class _Tally:
    """Turns the running counts of one connection into those of the run."""

    def __init__(self, statistics: LiveStatistics) -> None:
        self._statistics = statistics
        self._last: Result | None = None

    def count(self, result: Result) -> None:
        """Count what was left out since the result before: by the host, and by the network, which is the rest."""
        last, self._last = self._last, result
        if last is None:
            dropped = result.serial + result.dropped
            skipped = 0  # frames of the camera's start, of which the network never saw the first ones
        else:
            dropped = result.serial - last.serial - 1 + result.dropped - last.dropped
            skipped = max(result.sequence - last.sequence - 1 - dropped, 0)
        self._statistics.dropped += dropped
        self._statistics.skipped += skipped


def _add(pairing: Pairing[ShownFrame], frames: list[ShownFrame]) -> None:
    for frame in frames:
        pairing.add(frame.sequence, frame)


def _frame_of(result: Result, feed: Feed, pairing: Pairing[ShownFrame], timing: Timing) -> ShownFrame | None:
    """The frame of a result, waited for while it can be on its way; None when it is lost."""
    start = timing.clock()
    while pairing.may_still_come(result.sequence) and timing.clock() - start < timing.pair_wait_s:
        _add(pairing, feed.new_frames(POLL_S))
    return pairing.take(result.sequence)
