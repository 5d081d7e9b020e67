"""Frames to a video file, an animated GIF or a folder of PNG images, chosen by suffix, put in place when finished.

A single frame may become an image file, too.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, OutputError, UsageError
from oakpoint.files import interrupts_held, replacing_file, replacing_folder
from oakpoint.images.opencv import opening_video, quiet_opencv
from oakpoint.view.draw import bgr_from_image
from oakpoint.view.picture import write_image

RecordingFormat = Literal["mp4", "gif", "folder", "image"]

STILL_SUFFIXES = (".png", ".jpg", ".jpeg")

GIF_MEMORY_BYTES = 256 << 20
"""Most that the frames of a GIF may take until they are written: 291 of 640×480 px, 10 s at 30 per second.

OpenCV writes a GIF in one go from all its frames, and takes as much again while it does."""

GIF_FASTEST_FPS = 50.0
"""A GIF counts in hundredths of a second, and browsers slow down what asks for less than two."""

_FRAME_NAME = re.compile(r"frame_[0-9]{6,}\.png")

_log = logging.getLogger(__name__)


class Recording(ABC):
    """Takes frames, one after the other. Made by ``open_recording``.

    Attributes:
        frames_written: how many frames the recording holds.
        frames_left_out: how many it could not hold any more.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.frames_written = 0
        self.frames_left_out = 0
        self._path = path
        self._fps = fps
        self._size: tuple[int, int] | None = None

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add a frame.

        Args:
            image: uint8 (H, W) or (H, W, 3) BGR, of one size throughout a video or GIF.

        Raises:
            ImageError: not an image, or of another size than the first frame where the format has one size only.
            OutputError: it cannot be written.
        """
        frame = bgr_from_image(image)
        height, width = frame.shape[:2]
        self._size = self._size or (width, height)
        if self._one_size and self._size != (width, height):
            raise ImageError(
                f"recording: expected frames of {self._size[0]}×{self._size[1]} px like the first, got "
                f"{width}×{height}; record to a folder, which takes any"
            )
        if self._add(frame):
            self.frames_written += 1
        else:
            self.frames_left_out += 1

    _one_size = True

    @abstractmethod
    def _add(self, frame: NDArray[np.uint8]) -> bool:
        """Take a frame, uint8 (H, W, 3), the caller's no more; False when there is no room for it."""

    def finish(self) -> None:  # noqa: B027  # a folder has nothing to finish
        """Write what is still to be written.

        Raises:
            OutputError: it cannot be written.
        """

    def release(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of encoders; after it, ``finish`` may be called, but not ``write``."""


def recording_format(path: Path, *, single: bool = False) -> RecordingFormat:
    """What a recording at ``path`` will be: ``.mp4``, ``.gif``, or without a suffix a folder of PNG images.

    Args:
        path: where it is to be.
        single: there will be one frame, which may also be a ``.png`` or ``.jpg``.

    Raises:
        UsageError: another suffix.
    """
    suffix = path.suffix.lower()
    if suffix in (".mp4", ".gif"):
        return "mp4" if suffix == ".mp4" else "gif"
    if single and suffix in STILL_SUFFIXES:
        return "image"
    if suffix and not path.is_dir():
        further = ", or in .png or .jpg" if single else "; one frame (--max-frames 1) can be a .png or .jpg"
        raise UsageError(
            f"{path}: expected a name that ends in .mp4 or .gif, or has no suffix (a folder of PNG images){further}, "
            f"got {path.suffix}"
        )
    return "folder"


@contextlib.contextmanager
def open_recording(path: Path, *, fps: float, single: bool = False) -> Iterator[Recording]:
    """Record frames to ``path``, which appears, whole, when the block ends.

    After Ctrl-C, too, what was recorded until then is finished and put in place; after any other error nothing is left,
    and what stood at ``path`` still stands. A folder in the way is replaced only if there is nothing in it but frames
    of an earlier recording.

    A video (MPEG-4 part 2) has even sides: the last column or row of an odd one is doubled. A GIF holds at most
    ``GIF_MEMORY_BYTES`` of frames; later ones are counted in ``frames_left_out``, with a warning in the log.

    Args:
        path: see ``recording_format``.
        fps: frames per second at which it is to be played; a folder has none, and does not look at it.
        single: there will be one frame; see ``recording_format``.

    Raises:
        UsageError: another suffix, or a frame rate that the format does not have.
        OutputError: ``path`` cannot be written, a folder with other files is in the way, or no frame was recorded.
    """
    kind = recording_format(path, single=single)
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps: expected a positive number of frames per second, got {fps}")
    if kind == "gif" and fps > GIF_FASTEST_FPS:
        raise UsageError(f"fps: a GIF plays at most {GIF_FASTEST_FPS:g} frames per second, got {fps:g}; use .mp4")
    if kind == "folder":
        path = path.resolve()
        _check_replaceable(path)
    elif path.is_dir():
        raise OutputError(f"{path}: there is a folder of that name")
    place: Callable[[Path], AbstractContextManager[Path]] = replacing_folder if kind == "folder" else replacing_file
    interrupted: KeyboardInterrupt | None = None
    with contextlib.ExitStack() as stack:
        recording = _RECORDINGS[kind](stack.enter_context(place(path)), fps)
        try:
            yield recording
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
        except BaseException:
            recording.release()
            raise
        with interrupts_held():  # a second Ctrl-C would destroy what the first one asked for
            recording.release()
            if recording.frames_written == 0:
                raise interrupted or OutputError(f"{path}: no frame was recorded, nothing is written")
            recording.finish()
            if kind == "folder":
                _check_replaceable(path)
            stack.close()
    if interrupted is not None:
        raise interrupted


@final
class _Mp4Recording(Recording):
    _writer: cv2.VideoWriter | None = None

    def _add(self, frame: NDArray[np.uint8]) -> bool:
        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        with quiet_opencv():
            if self._writer is None:
                self._writer = self._opened((even.shape[1], even.shape[0]))
            self._writer.write(even)
        return True

    def _opened(self, size: tuple[int, int]) -> cv2.VideoWriter:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        with opening_video():
            writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, fourcc, self._fps, size)
        if not writer.isOpened():
            raise OutputError(
                f"video: OpenCV cannot encode {size[0]}×{size[1]} px at {self._fps:g} fps; record to a folder or .gif"
            )
        return writer

    def release(self) -> None:
        if self._writer is not None:
            with quiet_opencv():
                self._writer.release()

    def finish(self) -> None:
        if self._path.stat().st_size == 0:
            raise OutputError(f"video: nothing could be written in {self._path.parent}; is the disk full?")


@final
class _GifRecording(Recording):
    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._frames: list[NDArray[np.uint8]] = []

    def _add(self, frame: NDArray[np.uint8]) -> bool:
        if (len(self._frames) + 1) * frame.nbytes > GIF_MEMORY_BYTES:
            if not self.frames_left_out:
                _log.warning("GIF: full after %d frames, the rest is left out; use .mp4", len(self._frames))
            return False
        self._frames.append(frame)
        return True

    def finish(self) -> None:
        animation = cv2.Animation()
        animation.frames = self._frames
        animation.durations = _durations_ms(len(self._frames), self._fps)
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


@final
class _FolderRecording(Recording):
    _one_size = False

    def _add(self, frame: NDArray[np.uint8]) -> bool:
        path = self._path / f"frame_{self.frames_written:06d}.png"
        _, data = cv2.imencode(".png", frame)
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
        return True


@final
class _ImageRecording(Recording):
    def _add(self, frame: NDArray[np.uint8]) -> bool:
        write_image(self._path, frame)
        return True


_RECORDINGS: dict[RecordingFormat, type[Recording]] = {
    "mp4": _Mp4Recording,
    "gif": _GifRecording,
    "folder": _FolderRecording,
    "image": _ImageRecording,
}


def _durations_ms(frames: int, fps: float) -> list[int]:
    """How long each of ``frames`` frames stands: whole hundredths of a second, so shared out that none is lost.

    Source: GIF89a specification, 23 «Graphic Control Extension», delay time.
    """
    ends = np.rint(np.arange(frames + 1) * (100 / fps))
    return [int(hundredths) * 10 for hundredths in np.diff(ends)]


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace what may be somebody's: a file, or a folder with more than an earlier recording."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: there is a file of that name; for a video end the name in .mp4 or .gif")
    strangers = [
        entry.name for entry in folder.iterdir() if not (_FRAME_NAME.fullmatch(entry.name) and entry.is_file())
    ]
    if strangers:
        raise OutputError(
            f"{folder}: there are other files in this folder, such as {min(strangers)}; name a new or empty one"
        )
