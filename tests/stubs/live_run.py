"""A run with a page, in threads of the test's process: frames without end, until the test ends them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from readings import IDENTITY

from oakpoint.features.tracking import Tracker
from oakpoint.features.types import DecodeOptions, HeatmapOutputs
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import Observation
from oakpoint.run.loop import Followed, follow
from oakpoint.run.page.server import Listening, listen
from oakpoint.run.page.state import PageTitle
from oakpoint.run.sinks.page import PageSink
from oakpoint.run.sinks.together import SinksTogether
from oakpoint.run.tracking import FrameTracker
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.reading import Reading
from oakpoint.view.results.base import Follower

SIZE = (160, 120)
SCORES = (0.9, 0.7, 0.5, 0.3, 0.2, 0.12)
"""Of the keypoints in every frame; two more lie 6 px beside the first two."""


class HeatMapTask(Keypoints):  # type: ignore[misc]  # final, but for tests
    """Keypoints, from a heat map that is given as it is."""

    __slots__ = ()

    def outputs(self, tensors: Any) -> HeatmapOutputs:
        return HeatmapOutputs(tensors["heat"], tensors["descriptors"])


KEYPOINTS = HeatMapTask(
    decode=DecodeOptions.preset("superpoint").with_changes(threshold=0.1, nms_radius_px=4, max_keypoints=100)
)


def keypoint_observation(index: int) -> Observation:
    """A picture whose ground changes, with keypoints that move to the right."""
    width, height = SIZE
    heat = np.zeros((height, width), np.float32)
    for number, score in enumerate(SCORES):
        x, y = (12 + 20 * number + index % 8, 20 + 14 * number)
        heat[y, x] = score
        if number < 2:
            heat[y + 6, x] = score - 0.05
    heat[96:112, 120:150] = 0.05  # below every threshold
    image = np.full((height, width, 3), (40, 60 + index % 120, 80), np.uint8)
    image[:, (3 * index) % width] = 220
    descriptors = np.random.default_rng(3).normal(size=(8, height // 8, width // 8)).astype(np.float32)
    return observation(image, index, {"heat": heat, "descriptors": descriptors})


def observation(image: NDArray[np.uint8], index: int, tensors: Any) -> Observation:
    return Observation(
        image=image,
        reading=Reading(tensors=tensors, original_from_tensor=IDENTITY, image_size=image.shape[1::-1]),
        index=index,
        name=f"clip-{index:06d}",
        time_s=index / 30,
        latency_s=None,
        stages_s={"read": 0.001, "network": 0.004},
    )


class LiveRun:
    """Frames through the loop to a page, from ``with`` on until it ends."""

    def __init__(
        self,
        recordings: Path,
        *,
        task: Any = KEYPOINTS,
        observe: Callable[[int], Observation] = keypoint_observation,
        follower: Follower | None = None,
        still: bool = False,
        listening: Listening | None = None,
        notice: str | None = None,
        every_s: float = 0.02,
    ) -> None:
        self.recordings = recordings
        self.board = ControlBoard(task)
        self.added = 0
        self.followed: Followed | None = None
        self._observe, self._every_s = observe, every_s
        self._follower = None if still else follower or Tracker(max_length=5, max_distance=0.7)
        self._source_ended, self._stopped = threading.Event(), threading.Event()
        title = PageTitle(network="small", source="clip.mp4", notice=notice)
        self.page = PageSink.to(listening or listen(port=0), self.board, title, fps=30, recordings=recordings)
        self.url = self.page.url
        self._thread = threading.Thread(target=self._run, name="live run")

    def __enter__(self) -> LiveRun:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def end_source(self) -> None:
        """No frame comes any more; the last one stays."""
        self._source_ended.set()

    def stop(self) -> None:
        """Ctrl-C."""
        self._stopped.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the run did not end"

    def _run(self) -> None:
        tracker = FrameTracker(self.board, self._follower)
        frames: Any = self._observations()
        with contextlib.suppress(KeyboardInterrupt):  # before its first frame
            self.followed = follow(frames, tracker, SinksTogether([self.page]), heard=self._heard)

    def _heard(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt

    def _observations(self) -> Iterator[Observation]:
        for index in itertools.count():
            if self._source_ended.is_set():
                return
            self.added += 1
            yield self._observe(index)
            self._stopped.wait(self._every_s)
