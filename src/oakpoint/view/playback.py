"""Frames through an extractor and a tracker, one after the other, with the time that each took."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oakpoint.extractor import Extractor
from oakpoint.features.tracking import Tracker, Tracks
from oakpoint.features.types import Features
from oakpoint.images.sources import Frame
from oakpoint.oak.live import LiveFrame
from oakpoint.view.draw import draw_tracks, with_status

RATE_WINDOW = 15
"""The frame rate that is shown is that of as many last frames."""


@dataclass(frozen=True, slots=True, eq=False)
class TrackedFrame:
    """A frame and what was found in it.

    Attributes:
        image: the frame.
        features: its keypoints.
        tracks: which earlier keypoints they continue, row for row.
        seconds: what extraction and tracking took.
        rate_fps: frames per second over the last ``RATE_WINDOW`` frames, overall: as fast as they came out, with
            reading, drawing and recording; of an OAK camera the rate at which its frames come. None for the first one.
        latency_s: of an OAK camera, seconds from the capture to the features; None for other frames.
        time_s: when the frame came, or was to be shown; see ``Frame.time_s`` and ``LiveFrame.time_s``.
    """

    image: NDArray[np.uint8]
    features: Features
    tracks: Tracks
    seconds: float
    rate_fps: float | None
    latency_s: float | None = None
    time_s: float | None = None


def tracked_frames(
    frames: Iterable[Frame],
    extractor: Extractor,
    tracker: Tracker,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[TrackedFrame, None, None]:
    """Extract and track frame by frame.

    Args:
        frames: of any source.
        extractor: finds the keypoints.
        tracker: follows them.
        clock: seconds, monotonic.

    Raises:
        OakpointError: from the frames or the model.
    """
    recent: deque[float] = deque(maxlen=RATE_WINDOW + 1)
    for frame in frames:
        start = clock()
        features = extractor(frame.image)
        tracks = tracker.update(features)
        recent.append(clock())
        yield TrackedFrame(frame.image, features, tracks, recent[-1] - start, _rate_fps(recent), time_s=frame.time_s)


def tracked_live_frames(frames: Iterable[LiveFrame], tracker: Tracker) -> Generator[TrackedFrame, None, None]:
    """Track what a camera found, frame by frame.

    Raises:
        OakpointError: from the camera.
    """
    recent: deque[float] = deque(maxlen=RATE_WINDOW + 1)
    for frame in frames:
        recent.append(frame.time_s)
        start = time.perf_counter()
        tracks = tracker.update(frame.features)
        seconds = time.perf_counter() - start
        rate_fps = _rate_fps(recent)
        yield TrackedFrame(frame.image, frame.features, tracks, seconds, rate_fps, frame.latency_s, frame.time_s)


def _rate_fps(times_s: Sequence[float]) -> float | None:
    """Frames per second between these times; None where nothing lies between them."""
    span_s = times_s[-1] - times_s[0]
    return (len(times_s) - 1) / span_s if span_s > 0 else None


def timing_of(frame: TrackedFrame) -> list[str]:
    """How fast things go, each figure with what it measures: at which rate frames come out, and what one takes."""
    rate = [] if frame.rate_fps is None else [f"{frame.rate_fps:.1f} fps overall"]
    if frame.latency_s is not None:
        return [*rate, f"{1e3 * frame.latency_s:.0f} ms latency"]
    return [*rate, f"{1e3 * frame.seconds:.1f} ms extract+track"]


def picture_of(frame: TrackedFrame, *, notice: str | None = None) -> NDArray[np.uint8]:
    """The frame with its tracks, and below it ``timing_of`` it and counts; uint8 (H + strip, W, 3) BGR.

    Args:
        frame: what to draw.
        notice: a further short text in ASCII for the strip.
    """
    continued = int((frame.tracks.ages > 1).sum())
    figures = [*timing_of(frame), f"{len(frame.features)} keypoints", f"{continued} tracks"]
    canvas = draw_tracks(frame.image, frame.tracks.positions, frame.tracks.ages)
    return with_status(canvas, figures + ([notice] if notice else []))


@dataclass(slots=True)
class RunSummary:
    """Figures over all frames of a run, gathered as they come; holds no images.

    Attributes:
        clock: seconds, monotonic.
    """

    clock: Callable[[], float] = time.perf_counter
    frames: int = 0
    keypoints: int = 0
    tracked: int = 0
    tracks: int = 0
    oldest: int = 0
    seconds: array[float] = field(default_factory=lambda: array("d"))
    first_s: float = 0.0
    last_s: float = 0.0

    def add(self, frame: TrackedFrame) -> None:
        """Count one frame, when all that is done with it is done."""
        self.last_s = self.clock()
        self.first_s = self.first_s if self.frames else self.last_s
        self.frames += 1
        self.keypoints += len(frame.features)
        self.tracked += int((frame.tracks.ages > 1).sum())
        self.tracks += int((frame.tracks.ages == 2).sum())
        self.oldest = max(self.oldest, int(frame.tracks.ages.max(initial=0)))
        self.seconds.append(frame.seconds)

    def facts(self) -> dict[str, float | None]:
        """Means over frames, the rate overall, and the median time to extract and track.

        The first frame, which loads the model, counts with neither of the two.
        """
        timed = self.seconds[1:] or self.seconds
        span_s = self.last_s - self.first_s
        return {
            "frames": self.frames,
            "keypoints_mean": self.keypoints / max(self.frames, 1),
            "tracks": self.tracks,
            "tracks_mean_per_frame": self.tracked / max(self.frames - 1, 1),
            "oldest_track_frames": self.oldest,
            "rate_fps": (self.frames - 1) / span_s if span_s > 0 else None,
            "milliseconds_median": 1e3 * float(np.median(timed)) if timed else None,
        }
