"""A webcam's frames, read in a thread of their own, each with the time at which it came.

A run that is slower than the camera gets the newest frame and not one that has waited in the driver; and while a
camera that stalls is waited for, for which OpenCV takes ten seconds, Ctrl-C is heard.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

LATEST_ONLY = True
"""Whether a frame gives way to a newer one before it is taken. False lets the camera wait: for one that is a file."""

WAKE_S = 0.1
"""How long one wait for a frame lasts, so that Ctrl-C is heard in between."""

LONGEST_CLOSE_S = 1.0
"""How long a reader is waited for at the end; one that is still reading gives the camera back when it is done."""


@dataclass(frozen=True, slots=True, eq=False)
class Grabbed:
    """A frame of a camera.

    Attributes:
        image: uint8 (H, W, 3) BGR.
        number: 0, 1, 2, …; a gap was left out for a later one.
        time_s: when it came, in seconds since the first one.
    """

    image: NDArray[np.uint8]
    number: int
    time_s: float


@final
class WebcamReader(Iterator[Grabbed]):
    """Reads from the moment on at which its first frame is asked for, until ``close`` or until the camera ends.

    Args:
        first: the frame that was read when the camera was opened.
        read: gives the next frame; None when the camera has ended. Called in the thread.
        release: gives the camera back; called once, when nothing reads any more.

    Attributes:
        read_frames: how many came.
    """

    def __init__(
        self, first: NDArray[np.uint8], read: Callable[[], NDArray[np.uint8] | None], release: Callable[[], object]
    ) -> None:
        self.read_frames = 1
        self._read = read
        self._release = release
        self._waiting: Grabbed | None = Grabbed(first, 0, 0.0)
        self._ended = self._closing = False
        self._failure: Exception | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __next__(self) -> Grabbed:
        """The latest frame that was not taken yet, waited for.

        Raises:
            StopIteration: the camera has ended.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="webcam", daemon=True)
            self._thread.start()
        with self._changed:
            while self._waiting is None:
                if self._failure is not None:
                    raise self._failure
                if self._ended:
                    raise StopIteration
                self._changed.wait(WAKE_S)
            taken, self._waiting = self._waiting, None
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Stop reading and give the camera back."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            self._release()
        else:
            self._thread.join(LONGEST_CLOSE_S)

    def _work(self) -> None:
        start = time.monotonic()
        try:
            while (image := self._read()) is not None and self._put(image, time.monotonic() - start):
                pass
        except Exception as error:  # noqa: BLE001  # raised where the frames are taken
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
                while not self._closing:
                    self._changed.wait()
            self._release()

    def _put(self, image: NDArray[np.uint8], time_s: float) -> bool:
        """Offer a frame; False when no more is wanted."""
        with self._changed:
            while self._waiting is not None and not LATEST_ONLY and not self._closing:
                self._changed.wait(WAKE_S)
            self._waiting = Grabbed(image, self.read_frames, time_s)
            self.read_frames += 1
            self._changed.notify_all()
            return not self._closing
