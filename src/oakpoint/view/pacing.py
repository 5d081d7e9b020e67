"""A camera's frames into a recording of fixed frame rate, so that it plays as fast as things went."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

LONGEST_PAUSE_S = 2.0
"""A frame stands no longer than this in a recording, also where the camera was away for longer."""


@final
class PacedWriter:
    """Writes each frame as often as it takes until the next one came; one that came too soon for the rate is left out.

    Args:
        write: takes a picture.
        fps: frames per second of the recording.
    """

    def __init__(self, write: Callable[[NDArray[np.uint8]], None], *, fps: float) -> None:
        self._write = write
        self._fps = fps
        self._picture: NDArray[np.uint8] | None = None
        self._last_s = 0.0
        self._owed = 0.0

    def add(self, picture: Callable[[], NDArray[np.uint8]], time_s: float) -> None:
        """Take the next frame.

        Args:
            picture: draws it; called when it is needed.
            time_s: when it came, rising.
        """
        if self._picture is None:
            self._picture, self._last_s = picture(), time_s
            self._write(self._picture)
            return
        self._owed += min(time_s - self._last_s, LONGEST_PAUSE_S) * self._fps
        self._last_s = time_s
        due = math.floor(self._owed + 0.5)
        self._owed -= due
        for _ in range(due - 1):
            self._write(self._picture)
        if due:
            self._picture = picture()
            self._write(self._picture)
