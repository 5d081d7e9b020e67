"""Frames through a network and what follows its results, one after the other, with the time that each took."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.images.sources import Frame
from oakpoint.oak.live import LiveFrame
from oakpoint.view.draw import with_status
from oakpoint.view.results.base import Follower, Summary
from oakpoint.view.results.colours import drawable_text
from oakpoint.view.results.registry import view_of

RATE_WINDOW = 15
"""The frame rate that is shown is that of as many last frames."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """A frame and what was found in it.

    Attributes:
        image: the frame.
        result: what the network's task reads, in pixels of ``image``.
        tracks: what the follower knows of it; None where there is nothing to follow.
        seconds: what finding and following took.
        rate_fps: frames per second over the last ``RATE_WINDOW`` frames, overall: as fast as they came out, with
            reading, drawing and recording; of an OAK camera the rate at which its frames come. None for the first one.
        latency_s: of an OAK camera, seconds from the capture to the result; None for other frames.
        time_s: when the frame came, or was to be shown; see ``Frame.time_s`` and ``LiveFrame.time_s``.
        index: its number in the source; of a camera the frame's own.
        name: of its file; None where it has none.
    """

    image: NDArray[np.uint8]
    result: Any
    tracks: Any
    seconds: float
    rate_fps: float | None
    latency_s: float | None = None
    time_s: float | None = None
    index: int = 0
    name: str | None = None

    def facts(self) -> dict[str, Any]:
        """Which frame it is, and what was found in it, for machines."""
        where = {"frame": self.index, "name": self.name, "time_s": self.time_s}
        return where | view_of(self.result).facts(self.result, self.tracks)


def tracked_frames(
    frames: Iterable[Frame],
    predictor: Callable[[NDArray[np.uint8]], Any],
    follower: Follower,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[TrackedFrame, None, None]:
    """Find and follow frame by frame.

    Args:
        frames: of any source.
        predictor: finds something in an image.
        follower: follows it.
        clock: seconds, monotonic.

    Raises:
        OakpointError: from the frames or the model.
    """
    recent: deque[float] = deque(maxlen=RATE_WINDOW + 1)
    for frame in frames:
        start = clock()
        result = predictor(frame.image)
        tracks = follower.update(result)
        recent.append(clock())
        yield TrackedFrame(
            frame.image,
            result,
            tracks,
            recent[-1] - start,
            _rate_fps(recent),
            time_s=frame.time_s,
            index=frame.index,
            name=frame.name,
        )


def tracked_live_frames(frames: Iterable[LiveFrame], follower: Follower) -> Generator[TrackedFrame, None, None]:
    """Follow what a camera found, frame by frame.

    Raises:
        OakpointError: from the camera.
    """
    recent: deque[float] = deque(maxlen=RATE_WINDOW + 1)
    for frame in frames:
        recent.append(frame.time_s)
        start = time.perf_counter()
        tracks = follower.update(frame.result)
        seconds = time.perf_counter() - start
        yield TrackedFrame(
            frame.image,
            frame.result,
            tracks,
            seconds,
            _rate_fps(recent),
            frame.latency_s,
            frame.time_s,
            index=frame.sequence,
        )


def _rate_fps(times_s: Sequence[float]) -> float | None:
    """Frames per second between these times; None where nothing lies between them."""
    span_s = times_s[-1] - times_s[0]
    return (len(times_s) - 1) / span_s if span_s > 0 else None


def timing_of(frame: TrackedFrame) -> list[str]:
    """How fast things go, each figure with what it measures: at which rate frames come out, and what one takes."""
    rate = [] if frame.rate_fps is None else [f"{frame.rate_fps:.1f} fps overall"]
    if frame.latency_s is not None:
        return [*rate, f"{1e3 * frame.latency_s:.0f} ms latency"]
    return [*rate, f"{1e3 * frame.seconds:.1f} ms {view_of(frame.result).doing}"]


def picture_of(frame: TrackedFrame, *, notice: str | None = None) -> NDArray[np.uint8]:
    """The frame with what was found in it, and below it ``timing_of`` it and figures; uint8 (H + strip, W, 3) BGR.

    Args:
        frame: what to draw.
        notice: a further short text in ASCII for the strip.
    """
    view = view_of(frame.result)
    figures = [*timing_of(frame), *map(drawable_text, view.figures(frame.result, frame.tracks))]
    canvas = view.moving(frame.image, frame.result, frame.tracks)
    return with_status(canvas, figures + ([notice] if notice else []))


@dataclass(slots=True)
class RunSummary:
    """Figures over all frames of a run, gathered as they come; holds no images.

    Attributes:
        clock: seconds, monotonic.
        found: figures of what was found; None before the first frame.
        kind: the name of what was found, likewise.
    """

    clock: Callable[[], float] = time.perf_counter
    frames: int = 0
    found: Summary[Any] | None = None
    seconds: array[float] = field(default_factory=lambda: array("d"))
    first_s: float = 0.0
    last_s: float = 0.0

    kind: str | None = None

    def add(self, frame: TrackedFrame) -> None:
        """Count one frame, when all that is done with it is done."""
        self.last_s = self.clock()
        self.first_s = self.first_s if self.frames else self.last_s
        self.frames += 1
        if self.found is None:
            view = view_of(frame.result)
            self.found, self.kind = view.summary(), view.name
        self.found.add(frame.result, frame.tracks)
        self.seconds.append(frame.seconds)

    def facts(self) -> dict[str, Any]:
        """What was found, the rate overall, and the median time to find and follow.

        The first frame, which loads the model, counts with neither of the two.
        """
        timed = self.seconds[1:] or self.seconds
        span_s = self.last_s - self.first_s
        return {
            "frames": self.frames,
            "found": self.kind,
            **(self.found.facts(self.frames) if self.found is not None else {}),
            "rate_fps": (self.frames - 1) / span_s if span_s > 0 else None,
            "milliseconds_median": 1e3 * float(np.median(timed)) if timed else None,
        }
