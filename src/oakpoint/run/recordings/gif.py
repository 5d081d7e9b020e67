"""Animated GIFs."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError
from oakpoint.files import is_utf8
from oakpoint.images.opencv import quiet_opencv
from oakpoint.run.recordings.base import Recording

GIF_MEMORY_BYTES = 256 << 20
"""Most that the frames of a GIF may take until they are written: 291 of 640×480 px, 10 s at 30 per second.

OpenCV writes a GIF in one go from all its frames, and takes as much again while it does."""

GIF_FASTEST_FPS = 50.0
"""A GIF counts in hundredths of a second, and browsers slow down what asks for less than two."""

_log = logging.getLogger(__name__)


@final
class GifRecording(Recording):
    """Holds its frames until it is finished."""

    slowest_fps = 100 / (2**16 - 1)

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        if not is_utf8(path):
            raise OutputError(f"{path}: OpenCV writes a GIF to a name in UTF-8 only; choose another one, or .mp4")
        self._frames: list[tuple[int, NDArray[np.uint8]]] = []  # each with the place in time at which it is shown
        self._times = 0  # that are over, in units of 1/fps
        self._full = False
        self._shown_fps = min(fps, GIF_FASTEST_FPS)
        if fps > GIF_FASTEST_FPS:
            self.note = (
                f"a GIF shows {GIF_FASTEST_FPS:g} frames per second at most: of every {fps:g}, {GIF_FASTEST_FPS:g} are "
                "kept; .mp4 keeps all"
            )

    def _add(self, frame: NDArray[np.uint8], at_s: float | None, name: str | None) -> bool:
        del at_s, name
        if not self._full and (len(self._frames) + 1) * frame.nbytes > GIF_MEMORY_BYTES:
            self._full = True
            _log.warning("GIF: full after %d frames, the rest is left out; use .mp4", len(self._frames))
        if self._full:
            return False
        place = self._place(self._times)
        self._times += 1
        if self._frames and self._frames[-1][0] == place:
            return False
        self._frames.append((place, frame))
        return True

    def _add_again(self) -> None:
        if not self._full:
            self._times += 1

    def _place(self, time: int) -> int:
        """When something is shown, in units of 1/``_shown_fps``."""
        return math.floor(time * self._shown_fps / self._fps + 1e-9)  # a product that should be whole may be just below

    def _bytes_to_come(self) -> int:
        """A GIF of noise takes 1.5 bytes a pixel, of 3: codes of up to 12 bits."""
        return sum(frame.nbytes for _, frame in self._frames[:1]) * len(self._frames) // 2

    def finish(self) -> None:
        """See ``Recording.finish``."""
        animation = cv2.Animation()
        animation.frames = [frame for _, frame in self._frames]
        places = [place for place, _ in self._frames]
        animation.durations = _durations_ms([*places, max(self._place(self._times), places[-1] + 1)], self._shown_fps)
        animation.loop_count = 0  # for ever
        # Of OpenCV's settings this one comes out best: mean error 5 grey levels on a photograph and no banding, where
        # the default has 17 and visible grain.
        dither = [cv2.IMWRITE_GIF_DITHER, cv2.IMWRITE_GIF_FAST_FLOYD_DITHER]
        try:
            with quiet_opencv():
                written = cv2.imwriteanimation(str(self._path), animation, dither)
        except cv2.error as error:
            raise OutputError(f"GIF: OpenCV cannot write it ({error.err}); use .mp4") from error
        if not written or self._path.stat().st_size == 0:
            raise OutputError(f"GIF: OpenCV could not write in {self._path.parent}; is the disk full?")


def _durations_ms(bounds: Sequence[int], fps: float) -> list[int]:
    """How long each frame stands: whole hundredths of a second, so shared out that none is lost.

    Source: GIF89a specification, 23 «Graphic Control Extension», delay time.

    Args:
        bounds: where each frame begins, and where the last one ends, in units of 1/fps.
        fps: of the recording.
    """
    ends = np.rint(np.array(bounds) * (100 / fps))
    return [int(hundredths) * 10 for hundredths in np.diff(ends)]
