"""Frames to a video file, an animated GIF or a folder of PNG images, chosen by suffix, put in place when finished.

A single frame may become an image file, too.
"""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, OutputError, UsageError, first_line
from oakpoint.files import interrupts_held, replacing_file, writing
from oakpoint.images.opencv import opening_video, quiet_opencv
from oakpoint.result_folders import FolderKind, check_place, replacing_result
from oakpoint.view.draw import bgr_from_image
from oakpoint.view.picture import write_image

RecordingFormat = Literal["mp4", "gif", "folder", "image"]

STILL_SUFFIXES = (".png", ".jpg", ".jpeg")

GIF_MEMORY_BYTES = 256 << 20
"""Most that the frames of a GIF may take until they are written: 291 of 640×480 px, 10 s at 30 per second.

OpenCV writes a GIF in one go from all its frames, and takes as much again while it does."""

GIF_FASTEST_FPS = 50.0
"""A GIF counts in hundredths of a second, and browsers slow down what asks for less than two."""

LEAST_FREE_BYTES = 8 << 20
"""A recording ends while there is still as much room on the disk: an MP4 is only played with the index at its end."""

FRAMES = FolderKind(name="a recording", option="--save")

_log = logging.getLogger(__name__)


class Recording(ABC):
    """Takes frames, one after the other. Made by ``open_recording``.

    Attributes:
        frames_written: how many frames the recording holds.
        frames_left_out: how many it does not hold: a GIF that is full, or shown more slowly than they came.
        in_place: whether it is finished and stands where it was asked for.
        plays: whether its frames have times: a folder's have not.
        note: what else is to be said of it to a user; None for nothing.
    """

    plays = True
    note: str | None = None

    def __init__(self, path: Path, fps: float) -> None:
        self.frames_written = 0
        self.frames_left_out = 0
        self.in_place = False
        self._path = path
        self._fps = fps
        self._size: tuple[int, int] | None = None

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add a frame.

        Args:
            image: uint8 (H, W) or (H, W, 3) BGR, of one size throughout a video or GIF.

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
        with interrupts_held():  # a frame is in it, or is not
            if self._add(frame):
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
        with writing(self._path):
            free = shutil.disk_usage(self._path.parent).free
        if free < LEAST_FREE_BYTES + frame_bytes + self._bytes_to_come():
            raise OutputError(f"recording: the disk is all but full ({free / 1e6:.0f} MB are left)")

    def _bytes_to_come(self) -> int:
        """How much will be written when it is finished, at most."""
        return 0

    _one_size = True

    def _add_again(self) -> None:  # noqa: B027  # what does not play has no times
        """Let the last frame stand for as long again."""

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

    Whatever ends the block, Ctrl-C or an error, what was recorded until then is finished and put in place, and Ctrl-C
    or the error goes on from there. Only where not one frame was recorded, nothing is left, and what stood at ``path``
    still stands. A folder in the way is replaced only if there is nothing in it but frames of an earlier recording.

    A video (MPEG-4 part 2) has even sides: the last column or row of an odd one is doubled. A GIF holds at most
    ``GIF_MEMORY_BYTES`` of frames; later ones are counted in ``frames_left_out``, with a warning in the log. It shows
    at most ``GIF_FASTEST_FPS``: of faster frames some are left out, evenly, so that it plays as fast as things went;
    ``note`` says so.

    Args:
        path: see ``recording_format``.
        fps: frames per second at which it is to be played; a folder has none, and does not look at it.
        single: there will be one frame; see ``recording_format``.

    Raises:
        UsageError: another suffix, or no frame rate.
        OutputError: ``path`` cannot be written, a folder with other files is in the way, or no frame was recorded.
    """
    kind = recording_format(path, single=single)
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps: expected a positive number of frames per second, got {fps}")
    if kind == "folder":
        path = path.resolve()
        check_place(path, FRAMES)
    elif path.is_dir():
        raise OutputError(f"{path}: there is a folder of that name")
    ended: BaseException | None = None
    with contextlib.ExitStack() as stack:
        place = replacing_result(path, FRAMES) if kind == "folder" else replacing_file(path)
        recording = _RECORDINGS[kind](stack.enter_context(place), fps)
        try:
            yield recording
        except BaseException as error:  # noqa: BLE001  # it is raised again when the recording is finished
            ended = error
        with interrupts_held():  # a second Ctrl-C would destroy what the first one asked for
            try:
                recording.release()
                if recording.frames_written == 0:
                    raise ended or OutputError(f"{path}: no frame was recorded, nothing is written")
                recording.finish()
                stack.close()
                recording.in_place = True
            except OutputError as error:
                if ended is None or isinstance(ended, OutputError):
                    raise
                raise OutputError(f"{error}; the recording had ended: {first_line(ended)}") from ended
    if ended is not None:
        raise ended


@final
class _Mp4Recording(Recording):
    _writer: cv2.VideoWriter | None = None
    _last: NDArray[np.uint8] | None = None
    _pictures = 0

    def _add(self, frame: NDArray[np.uint8]) -> bool:
        height, width = frame.shape[:2]
        self._last = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self._add_again()
        return True

    def _add_again(self) -> None:
        assert self._last is not None, "a frame came before"
        with quiet_opencv():
            if self._writer is None:
                self._writer = self._opened((self._last.shape[1], self._last.shape[0]))
            self._writer.write(self._last)
        self._pictures += 1

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
        with opening_video():
            capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
            there = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.release()
        if there < self._pictures:  # OpenCV's encoder does not say that it could not write
            raise OutputError(
                f"video: could not be finished in {self._path.parent}; is the disk full, or a limit on file sizes "
                "reached? A folder keeps every frame that was written"
            )


@final
class _GifRecording(Recording):
    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._frames: list[tuple[int, NDArray[np.uint8]]] = []  # each with the place in time at which it is shown
        self._times = 0  # that are over, in units of 1/fps
        self._full = False
        self._shown_fps = min(fps, GIF_FASTEST_FPS)
        if fps > GIF_FASTEST_FPS:
            self.note = (
                f"a GIF shows {GIF_FASTEST_FPS:g} frames per second at most: of every {fps:g}, {GIF_FASTEST_FPS:g} are "
                "kept; .mp4 keeps all"
            )

    def _add(self, frame: NDArray[np.uint8]) -> bool:
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


@final
class _FolderRecording(Recording):
    _one_size = False

    def _add(self, frame: NDArray[np.uint8]) -> bool:
        path = self._path / f"frame_{self.frames_written:06d}.png"
        _, data = cv2.imencode(".png", frame)
        try:
            with writing(path):
                path.write_bytes(data.tobytes())
        except OutputError:
            path.unlink(missing_ok=True)  # half a picture
            raise
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


def _durations_ms(bounds: Sequence[int], fps: float) -> list[int]:
    """How long each frame stands: whole hundredths of a second, so shared out that none is lost.

    Source: GIF89a specification, 23 «Graphic Control Extension», delay time.

    Args:
        bounds: where each frame begins, and where the last one ends, in units of 1/fps.
        fps: of the recording.
    """
    ends = np.rint(np.array(bounds) * (100 / fps))
    return [int(hundredths) * 10 for hundredths in np.diff(ends)]
