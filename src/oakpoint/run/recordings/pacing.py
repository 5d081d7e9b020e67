"""A camera's frames into a recording that plays as fast as things went."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.run.recordings.base import Recording

LONGEST_PAUSE_S = 20.0
"""A frame stands no longer than this in a recording, also where a camera was away for longer.

Longer than a camera that is still there takes to send its next frame: after 15 s it counts as lost
(``oak.live.STALL_S``), and OpenCV gives a webcam up after 10 s."""


@final
class PacedWriter:
    """Writes each frame for as long as it takes until the next one came.

    A recording that ``keeps_times`` gets every frame at its own time. In one of a fixed rate each place shows the
    latest frame there was, to half of 1/``fps``; one that came too soon for the rate is left out. Either lasts as long
    as the frames took to come.

    Args:
        recording: takes the pictures.
        fps: frames per second of the recording.

    Attributes:
        cut_s: seconds that pauses were shortened by.
    """

    def __init__(self, recording: Recording, *, fps: float) -> None:
        self.cut_s = 0.0
        self._recording = recording
        self._fps = fps
        self._last_s: float | None = None
        self._at_s = 0.0
        self._owed = 0.0
        self._waiting: Callable[[], NDArray[np.uint8]] | None = None  # a frame that had no place until now

    def add(self, picture: Callable[[], NDArray[np.uint8]], time_s: float) -> None:
        """Take the next frame.

        Args:
            picture: draws it; called when it is needed, at the latest with the next frame.
            time_s: when it came, rising.
        """
        pause_s = 0.0 if self._last_s is None else max(time_s - self._last_s, 0.0)
        first, self._last_s = self._last_s is None, time_s
        self.cut_s += max(pause_s - LONGEST_PAUSE_S, 0.0)
        pause_s = min(pause_s, LONGEST_PAUSE_S)
        if self._recording.keeps_times:
            self._at_s += pause_s
            self._recording.write(picture(), at_s=self._at_s)
            return
        self._owed += pause_s * self._fps
        due = 1 if first else math.floor(self._owed + 0.5)
        self._owed -= 0 if first else due
        for _ in range(due - 1):
            self._show_latest()
        self._waiting = picture
        if due:
            self._show_latest()

    def _show_latest(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._recording.write(waiting())
        else:
            self._recording.repeat()
