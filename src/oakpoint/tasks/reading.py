"""What a network gave for one image, before anybody has read it; read as often as the task's parameters change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.geometry import PixelMap
from oakpoint.tasks.base import Result, Task

R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reading(Generic[R]):
    """The tensors of one image, and where its pixels lie.

    Attributes:
        tensors: the network's outputs, of whichever heads.
        original_from_tensor: the map from pixels of the network's input to pixels of the image.
        image_size: (W, H) of the image in pixels.
        known: a task that has read the tensors already and what it found, in pixels of the network's input; None where
            nobody has.
    """

    tensors: Tensors
    original_from_tensor: PixelMap
    image_size: tuple[int, int]
    known: tuple[Task[R], R] | None = None

    def read_by(self, task: Task[R]) -> Reading[R]:
        """The same, with what the task finds in the tensors known: ``result`` then need not read them again.

        Raises:
            BackendError: see ``result``.
        """
        if self.known is not None and self.known[0] == task:
            return self
        return replace(self, known=(task, task.read(self.tensors)))

    def result(self, task: Task[R]) -> R:
        """What the network found by a task's parameters, in pixels of the image.

        Raises:
            BackendError: outputs of another kind of network.
        """
        by, found = self.known or (None, None)
        if found is None or by != task:
            found = task.read(self.tensors)
        return task.in_frame(found, self.original_from_tensor, self.image_size)

    def heat_map(self, task: Task[Any]) -> NDArray[np.float32] | None:
        """How likely something is at each pixel of the image, float32 (H, W) in [0, 1]; None of a task that has none.

        Pixels of the image that the network did not see are zero.
        """
        heat = task.heat_map(self.tensors)
        if heat is None:
            return None
        (sx, sy), (ox, oy) = self.original_from_tensor.scale, self.original_from_tensor.offset
        matrix = np.array([[sx, 0, ox], [0, sy, oy]], np.float64)
        return np.asarray(cv2.warpAffine(heat, matrix, self.image_size, flags=cv2.INTER_LINEAR), np.float32)
