"""A camera's frames into a recording of fixed frame rate, so that it plays as fast as things went."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

LONGEST_PAUSE_S = 20.0
"""A frame stands no longer than this in a recording, also where a camera was away for longer.

Longer than a camera that is still there takes to send its next frame: after 15 s it counts as lost
(``oak.live.STALL_S``), and OpenCV gives a webcam up after 10 s."""


@final
class PacedWriter:
    """Writes each frame as often as it takes until the next one came; one that came too soon for the rate is left out.

    Each place of the recording so shows the latest frame there was, to half of 1/``fps``, and the recording lasts as
    long as the frames took to come.

    Args:
        write: takes a picture.
        repeat: lets the last one stand for as long again.
        fps: frames per second of the recording.

    Attributes:
        cut_s: seconds that pauses were shortened by.
    """

    def __init__(self, write: Callable[[NDArray[np.uint8]], None], repeat: Callable[[], None], *, fps: float) -> None:
        self.cut_s = 0.0
        self._write = write
        self._repeat = repeat
        self._fps = fps
        self._last_s: float | None = None
        self._owed = 0.0
        self._waiting: Callable[[], NDArray[np.uint8]] | None = None  # a frame that had no place until now

    def add(self, picture: Callable[[], NDArray[np.uint8]], time_s: float) -> None:
        """Take the next frame.

        Args:
            picture: draws it; called when it is needed, at the latest with the next frame.
            time_s: when it came, rising.
        """
        if self._last_s is None:
            due = 1
        else:
            pause_s = max(time_s - self._last_s, 0.0)
            self.cut_s += max(pause_s - LONGEST_PAUSE_S, 0.0)
            self._owed += min(pause_s, LONGEST_PAUSE_S) * self._fps
            due = math.floor(self._owed + 0.5)
            self._owed -= due
        self._last_s = time_s
        for _ in range(due - 1):
            self._show_latest()
        self._waiting = picture
        if due:
            self._show_latest()

    def _show_latest(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._write(waiting())
        else:
            self._repeat()
