"""Frames read and followed one after the other, each by the controls as they are when its turn comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any, final

from oakpoint.run.controls import ControlBoard, Controls
from oakpoint.run.frames import Observation, TrackedFrame
from oakpoint.view.results.base import Follower

RATE_WINDOW = 15
"""The frame rate that is shown is that of as many last frames: of an OAK camera that at which its frames were taken,
of all others that at which they are done, with reading, drawing and recording."""


@final
class FrameTracker:
    """Reads observations and follows what is found in them.

    Args:
        board: the controls.
        follower: follows results from frame to frame; None for an image by itself.
        clock: seconds, monotonic.
    """

    def __init__(
        self, board: ControlBoard, follower: Follower | None, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.board = board
        self._follower = follower
        self._before: Follower | None = None
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=RATE_WINDOW + 1)
        self._last: Observation | None = None

    def frames(self, observations: Iterable[Observation]) -> Generator[TrackedFrame, None, None]:
        """Each observation as a frame, as they come.

        Raises:
            OakpointError: from the observations, or what the network gave cannot be read.
        """
        for seen in observations:
            self._last, self._before = seen, _snapshot(self._follower)
            frame = self._frame(seen, self.board.read())
            live = frame.latency_s is not None and frame.time_s is not None
            self._recent.append(frame.time_s if live else self._clock())  # type: ignore[arg-type]
            yield replace(frame, rate_fps=self._rate_fps())

    def again(self, controls: Controls) -> TrackedFrame:
        """The last frame once more, as it would have been with other controls.

        Raises:
            OakpointError: what the network gave cannot be read.
        """
        assert self._last is not None, "a frame came before"
        self._follower = _snapshot(self._before)
        return replace(self._frame(self._last, controls), rate_fps=self._rate_fps())

    def _frame(self, seen: Observation, controls: Controls) -> TrackedFrame:
        start = self._clock()
        result = seen.reading.result(controls.task)
        read = self._clock()
        tracks: Any = None if self._follower is None else self._follower.update(result)
        tracked = self._clock()
        return TrackedFrame(
            image=seen.image,
            result=result,
            tracks=tracks,
            controls=controls,
            moving=self._follower is not None,
            stages_s={
                **seen.stages_s,
                "decode": seen.stages_s.get("decode", 0.0) + read - start,
                "track": tracked - read,
            },
            latency_s=seen.latency_s,
            time_s=seen.time_s,
            index=seen.index,
            name=seen.name,
            heat_map=seen.reading.heat_map(controls.task) if controls.drawn.heat_map else None,
        )

    def _rate_fps(self) -> float | None:
        span_s = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / span_s if span_s > 0 else None


def _snapshot(follower: Follower | None) -> Follower | None:
    return None if follower is None else follower.snapshot()
