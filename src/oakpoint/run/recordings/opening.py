"""Opens recordings by the suffix of their name, and puts them in place when they are finished."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from oakpoint.errors import OutputError, UsageError, first_line
from oakpoint.files import interrupts_held, replacing_file
from oakpoint.result_folders import FolderKind, check_place, replacing_result
from oakpoint.run.recordings.base import Recording
from oakpoint.run.recordings.gif import GifRecording
from oakpoint.run.recordings.mp4 import Mp4Recording
from oakpoint.run.recordings.pictures import FolderRecording, ImageRecording
from oakpoint.view.picture import STILL_SUFFIXES

RecordingFormat = Literal["mp4", "gif", "folder", "image"]

FRAMES = FolderKind(name="a recording", option="--save")

_RECORDINGS: dict[RecordingFormat, type[Recording]] = {
    "mp4": Mp4Recording,
    "gif": GifRecording,
    "folder": FolderRecording,
    "image": ImageRecording,
}


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

    A video has even sides: the last column or row of an odd one is doubled. A GIF holds at most
    ``GIF_MEMORY_BYTES`` of frames; later ones are counted in ``frames_left_out``, with a warning in the log. It shows
    at most ``GIF_FASTEST_FPS``: of faster frames some are left out, evenly, so that it plays as fast as things went;
    ``note`` says so.

    Args:
        path: see ``recording_format``.
        fps: frames per second at which it is to be played; a folder has none, and does not look at it.
        single: there will be one frame; see ``recording_format``.

    Raises:
        UsageError: another suffix, or no frame rate, or one that the format has no number for.
        OutputError: ``path`` cannot be written, a folder with other files is in the way, or no frame was recorded.
    """
    kind = recording_format(path, single=single)
    _check_rate(path, fps, _RECORDINGS[kind])
    if kind == "folder":
        path = path.resolve()
        check_place(path, FRAMES)
    elif path.is_dir():
        raise OutputError(f"{path}: there is a folder of that name")
    ended: BaseException | None = None
    with contextlib.ExitStack() as stack:
        place = replacing_result(path, FRAMES) if kind == "folder" else replacing_file(path)
        recording = _RECORDINGS[kind](stack.enter_context(place), fps)
        recording.place = path
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


def _check_rate(path: Path, fps: float, recording: type[Recording]) -> None:
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps: expected a positive number of frames per second, got {fps}")
    if recording.plays and fps < recording.slowest_fps:
        raise UsageError(
            f"{path}: expected a frame every {int(1 / recording.slowest_fps)} s or more often, which is all that "
            f"{path.suffix} holds, got one every {1 / fps:.0f} s; record to a folder"
        )
