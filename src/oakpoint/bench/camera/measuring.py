"""What a camera does, measured: parity with the simulator, rate and latency, on frames of the host and on its own.

Everything here takes what it measures as an argument, so that the same code measures DepthAI's runtime on the host,
with a stand-in for the camera, and is tested with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.bench.statistics import percentile
from oakpoint.bundle.records import StageReport
from oakpoint.errors import OakpointError
from oakpoint.features.types import Features
from oakpoint.oak.host_frames import HostFramesBackend
from oakpoint.oak.live import LiveFrame, LiveStatistics
from oakpoint.oak.model import DeviceModel
from oakpoint.verify.stages import verify_stage
from oakpoint.verify.tolerances import CAMERA_CLAIM, CAMERA_STAGE

IN_FLIGHT = 4
"""Frames under way at a time when the rate is measured: two for each inference thread."""

WARM_UP = 4
"""Results that come before those that are timed: the first one loads the network."""

Clock = Callable[[], float]
Progress = Callable[[float], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFramesSpeed:
    """Speed of the network on frames of the host; XLink's transfers are in it.

    Attributes:
        frames: how many were timed, of each kind.
        rate_fps: results a second with ``IN_FLIGHT`` frames under way.
        latency_ms_median: from sending a frame to its outputs on the host, one frame at a time.
        latency_ms_p95: its 95th percentile.
    """

    frames: int
    rate_fps: float
    latency_ms_median: float
    latency_ms_p95: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFigures:
    """A run on the camera's own frames.

    Attributes:
        frames: how many came out with their results.
        keypoints_mean: keypoints a frame; None of a network for something else.
        facts: rate, latency and counts; see ``LiveStatistics.facts``.
        last: the last frame, to look at; None when there was none.
        ended: what ended the run before its time; None when nothing did.
    """

    frames: int
    keypoints_mean: float | None
    facts: dict[str, float | int | None]
    last: LiveFrame | None
    ended: OakpointError | KeyboardInterrupt | None = None


def compare_with_simulator(
    model: DeviceModel,
    open_simulator: Callable[[], Backend],
    open_chip: Callable[[], HostFramesBackend],
    images: Mapping[str, NDArray[np.uint8]],
) -> StageReport:
    """Run the camera's network and the simulator on the same levels, and judge the difference.

    Of a network that was cut, the host's part goes on from both.

    Args:
        model: from ``open_device_model``.
        open_simulator: opens the executed blob.
        open_chip: opens the camera for frames of the host.
        images: real images by name.

    Raises:
        DeviceError: the camera cannot be opened or is lost.
    """
    return verify_stage(
        CAMERA_STAGE,
        lambda: model.chained(open_simulator()),
        lambda: model.chained(open_chip()),
        model.task.comparison(CAMERA_STAGE),
        images=images,
        feed=model.interface.feed,
        claim=CAMERA_CLAIM,
    )


def measure_host_frames(
    chip: HostFramesBackend,
    tensors: Sequence[NDArray[np.uint8]],
    *,
    frames: int,
    clock: Clock,
    progress: Progress = lambda _: None,
) -> HostFramesSpeed:
    """Time the network on frames of the host.

    Args:
        chip: opened for frames of the host.
        tensors: grey inputs, uint8 (1, 1, H, W), taken in turn.
        frames: how many to time one at a time, and how many with several under way.
        clock: seconds, monotonic.
        progress: is told how many of both kinds came.

    Raises:
        DeviceError: the camera is lost.
    """
    turns, name = cycle(tensors), chip.inputs[0].name
    for tensor in islice(turns, WARM_UP):
        chip.run({name: tensor})
    latencies_s: list[float] = []
    for tensor in islice(turns, frames):
        start = clock()
        chip.run({name: tensor})
        latencies_s.append(clock() - start)
        progress(len(latencies_s))
    times_s: list[float] = []
    for _ in chip.stream(islice(turns, frames + 1), in_flight=IN_FLIGHT):
        times_s.append(clock())
        progress(frames + len(times_s) - 1)
    return HostFramesSpeed(
        frames=frames,
        rate_fps=frames / (times_s[-1] - times_s[0]),
        latency_ms_median=1e3 * percentile(latencies_s, 50),
        latency_ms_p95=1e3 * percentile(latencies_s, 95),
    )


def measure_camera(
    frames: Iterable[LiveFrame],
    statistics: LiveStatistics,
    *,
    seconds: float,
    clock: Clock,
    progress: Progress = lambda _: None,
) -> CameraFigures:
    """Take frames for some seconds; when the camera is lost before, or Ctrl-C comes, the figures up to there.

    Args:
        frames: from ``live_frames``, with the same statistics.
        statistics: counts and times of the run.
        seconds: how long, from the first frame.
        clock: seconds, monotonic.
        progress: is told how many seconds are over.

    Raises:
        OakpointError: the camera is lost before its first frame, or a node failed.
    """
    last: LiveFrame | None = None
    ended: OakpointError | KeyboardInterrupt | None = None
    start_s: float | None = None
    keypoints: int | None = None
    try:
        for frame in frames:
            last = frame
            if isinstance(frame.result, Features):
                keypoints = (keypoints or 0) + len(frame.result)
            start_s = clock() if start_s is None else start_s
            over_s = clock() - start_s
            progress(over_s)
            if over_s >= seconds:
                break
    except (OakpointError, KeyboardInterrupt) as cause:
        if last is None:
            raise
        ended = cause
    mean = None if keypoints is None else keypoints / max(statistics.frames, 1)
    facts = statistics.facts()
    return CameraFigures(frames=statistics.frames, keypoints_mean=mean, facts=facts, last=last, ended=ended)
