"""Frames of a run whose result is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.geometry import PixelMap
from oakpoint.tasks.reading import Reading

IDENTITY = PixelMap((1.0, 1.0), (0.0, 0.0))


@dataclass(frozen=True)
class KnownTask:
    """A task that finds the same in every image; one is as good as another, what was read already is not read again."""

    found: Any

    def read(self, tensors: Any) -> Any:
        return self.found

    def in_frame(self, result: Any, original_from_tensor: PixelMap, image_size: tuple[int, int]) -> Any:
        return result

    def knobs(self) -> tuple[Any, ...]:
        return ()

    def with_changes(self) -> KnownTask:
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnownTask)

    __hash__ = None  # type: ignore[assignment]


def known_reading(found: Any, size: tuple[int, int] = (64, 48)) -> Reading[Any]:
    """What a network gave, already read."""
    task: Any = KnownTask(found)
    return Reading(tensors={}, original_from_tensor=IDENTITY, image_size=size, known=(task, found))


class KnownPredictor:
    """Finds the same in every image."""

    def __init__(self, found: Any, then: Callable[[], None] = lambda: None) -> None:
        self.task: Any = KnownTask(found)
        self._found, self._then = found, then

    def reading(self, image: NDArray[np.uint8]) -> Reading[Any]:
        self._then()
        return Reading(tensors={}, original_from_tensor=IDENTITY, image_size=image.shape[1::-1])


def tracked(frames: Iterable[Any], found: Any, follower: Any, **options: Any) -> Any:
    """Frames of a file, followed."""
    from oakpoint.run.controls import ControlBoard
    from oakpoint.run.frames import observed_frames
    from oakpoint.run.tracking import FrameTracker

    predictor: Any = KnownPredictor(found)
    return FrameTracker(ControlBoard(predictor.task), follower, **options).frames(observed_frames(frames, predictor))
