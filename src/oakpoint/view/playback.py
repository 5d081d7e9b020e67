"""Frames through an extractor and a tracker, one after the other, with the time that each took."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oakpoint.extractor import Extractor
from oakpoint.features.tracking import Tracker, Tracks
from oakpoint.features.types import Features
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
        rate_fps: frames per second over the last ``RATE_WINDOW`` frames: of a file extraction and tracking alone, of a
            camera the rate at which its frames come; None for a camera's first frame.
        latency_s: of a camera, seconds from the capture to the features; None for frames of files.
        time_s: of a camera, when the frame came; None for frames of files.
    """

    image: NDArray[np.uint8]
    features: Features
    tracks: Tracks
    seconds: float
    rate_fps: float | None
    latency_s: float | None = None
    time_s: float | None = None


def tracked_frames(
    images: Iterable[NDArray[np.uint8]], extractor: Extractor, tracker: Tracker
) -> Generator[TrackedFrame, None, None]:
    """Extract and track frame by frame.

    Raises:
        OakpointError: from the images or the model.
    """
    recent: deque[float] = deque(maxlen=RATE_WINDOW)
    for image in images:
        start = time.perf_counter()
        features = extractor(image)
        tracks = tracker.update(features)
        seconds = time.perf_counter() - start
        recent.append(seconds)
        yield TrackedFrame(image, features, tracks, seconds, len(recent) / sum(recent))


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
        seconds, span_s = time.perf_counter() - start, recent[-1] - recent[0]
        rate_fps = (len(recent) - 1) / span_s if span_s > 0 else None
        yield TrackedFrame(frame.image, frame.features, tracks, seconds, rate_fps, frame.latency_s, frame.time_s)


def picture_of(frame: TrackedFrame, *, notice: str | None = None) -> NDArray[np.uint8]:
    """The frame with its tracks, and below it rate, a camera's latency and counts; uint8 (H + strip, W, 3) BGR.

    Args:
        frame: what to draw.
        notice: a further short text in ASCII for the strip.
    """
    continued = int((frame.tracks.ages > 1).sum())
    delay = [] if frame.latency_s is None else [f"{1e3 * frame.latency_s:.0f} ms latency"]
    rate = [] if frame.rate_fps is None else [f"{frame.rate_fps:.1f} fps"]
    figures = [*rate, *delay, f"{len(frame.features)} keypoints", f"{continued} tracks"]
    canvas = draw_tracks(frame.image, frame.tracks.positions, frame.tracks.ages)
    return with_status(canvas, figures + ([notice] if notice else []))


@dataclass(slots=True)
class RunSummary:
    """Figures over all frames of a run, gathered as they come; holds no images."""

    frames: int = 0
    keypoints: int = 0
    tracked: int = 0
    tracks: int = 0
    oldest: int = 0
    seconds: array[float] = field(default_factory=lambda: array("d"))

    def add(self, frame: TrackedFrame) -> None:
        """Count one frame."""
        self.frames += 1
        self.keypoints += len(frame.features)
        self.tracked += int((frame.tracks.ages > 1).sum())
        self.tracks += int((frame.tracks.ages == 2).sum())
        self.oldest = max(self.oldest, int(frame.tracks.ages.max(initial=0)))
        self.seconds.append(frame.seconds)

    def facts(self) -> dict[str, float | None]:
        """Means over frames, and the median time without the first frame, which loads the model."""
        timed = self.seconds[1:] or self.seconds
        return {
            "frames": self.frames,
            "keypoints_mean": self.keypoints / max(self.frames, 1),
            "tracks": self.tracks,
            "tracks_mean_per_frame": self.tracked / max(self.frames - 1, 1),
            "oldest_track_frames": self.oldest,
            "milliseconds_median": 1e3 * float(np.median(timed)) if timed else None,
        }
