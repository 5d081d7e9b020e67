"""What every recording is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, naming
from oakpoint.files import interrupts_held, require_room
from oakpoint.view.draw import bgr_from_image


class Recording(ABC):
    """Takes frames, one after the other. Made by ``open_recording``.

    Attributes:
        frames_written: how many frames the recording holds.
        frames_left_out: how many it does not hold: a GIF that is full, or shown more slowly than they came.
        in_place: whether it is finished and stands where it was asked for.
        plays: whether its frames have times: a folder's have not.
        keeps_times: whether a frame can stand for any time; others have a fixed rate.
        note: what else is to be said of it to a user; None for nothing.
        slowest_fps: frames per second below which the format has no number for how long a frame stands.
        place: where it will stand, which errors name.
    """

    plays = True
    keeps_times = False
    note: str | None = None
    slowest_fps: ClassVar[float] = 0.0

    def __init__(self, path: Path, fps: float) -> None:
        self.frames_written = 0
        self.frames_left_out = 0
        self.in_place = False
        self.place = path
        self._path = path
        self._fps = fps
        self._size: tuple[int, int] | None = None

    def write(self, image: NDArray[np.uint8], *, at_s: float | None = None, name: str | None = None) -> None:
        """Add a frame.

        Args:
            image: uint8 (H, W) or (H, W, 3) BGR, of one size throughout a video or GIF.
            at_s: when it is to be shown, in seconds since the first one, rising, where ``keeps_times``. None: 1/fps
                after the one before.
            name: of the frame's file; a folder calls its own image so.

        Raises:
            ImageError: not an image, or of another size than the first frame where the format has one size only.
            OutputError: it cannot be written, or the disk is all but full.
        """
        frame = bgr_from_image(image)
        self._check_room(frame.nbytes)
        height, width = frame.shape[:2]
        self._size = self._size or (width, height)
        if self._one_size and self._size != (width, height):
            raise ImageError(
                f"recording: expected frames of {self._size[0]}×{self._size[1]} px like the first, got "
                f"{width}×{height}; record to a folder, which takes any"
            )
        with interrupts_held(), naming(self._path, str(self.place)):  # a frame is in it, or is not
            if self._add(frame, at_s, name):
                self.frames_written += 1
            else:
                self.frames_left_out += 1

    def repeat(self) -> None:
        """Let the last frame stand for as long again.

        Raises:
            OutputError: see ``write``.
        """
        self._check_room()
        with interrupts_held():
            self._add_again()

    def _check_room(self, frame_bytes: int = 0) -> None:
        """Stop while what was recorded can still be finished; an encoder that finds the disk full says nothing."""
        with naming(self._path, str(self.place)):
            require_room(self._path, frame_bytes + self._bytes_to_come())

    def _bytes_to_come(self) -> int:
        """How much will be written when it is finished, at most."""
        return 0

    _one_size = True

    def _add_again(self) -> None:  # noqa: B027  # what does not play has no times
        """Let the last frame stand for as long again."""

    @abstractmethod
    def _add(self, frame: NDArray[np.uint8], at_s: float | None, name: str | None) -> bool:
        """Take a frame, uint8 (H, W, 3), the caller's no more; False when there is no room for it."""

    def finish(self) -> None:  # noqa: B027  # a folder has nothing to finish
        """Write what is still to be written.

        Raises:
            OutputError: it cannot be written.
        """

    def discard(self) -> None:
        """Forget the frames: nothing is put in place."""
        self.frames_written = 0

    def release(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of encoders; after it, ``finish`` may be called, but not ``write``."""
