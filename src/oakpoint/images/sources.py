"""Frames from an image, a folder of images, a video file or a webcam.

>>> with open_source("clip.mp4") as source:  # doctest: +SKIP
...     for frame in source:
...         print(frame.name, frame.image.shape)
... print(source.unreadable)

An image of a folder that cannot be read does not end the run: it is logged, left out, and listed in
``source.unreadable``. A name of an untrusted file opens that file and nothing else: FFmpeg may use only containers that
hold their own pictures, so a playlist that calls itself ``.mp4`` cannot make it open another file or an address.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, UsageError
from oakpoint.files import is_utf8, shown_name
from oakpoint.images.containers import Container, read_container
from oakpoint.images.opencv import opening_video, quiet_opencv
from oakpoint.images.reading import IMAGE_SUFFIXES, find_images, no_image_in, read_image
from oakpoint.images.webcam import WebcamReader

SourceKind = Literal["image", "folder", "video", "webcam", "device"]

_HIGHEST_WEBCAM = 99  # OpenCV takes 100 and more for the number of a backend plus that of a camera
_HIGHEST_FPS = 1000.0  # above it FFmpeg reports a tick of the container's clock, not a frame rate

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a source.

    Attributes:
        image: uint8 (H, W) or (H, W, 3) in the order blue, green, red.
        index: 0, 1, 2, …; in a folder, the place in its list, so that an unreadable image leaves a gap; of a webcam, a
            gap is what was left out for a later frame.
        name: of a file, its name relative to the folder; of a video or webcam, a name with the index.
        time_s: seconds since the start of the video, or since the webcam's first frame; None for still images.
    """

    image: NDArray[np.uint8]
    index: int
    name: str
    time_s: float | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image of a folder, or a subfolder, that could not be read."""

    name: str
    reason: str


@final
class Source:
    """Frames, one after the other, once; also a context manager that gives the file or camera back.

    Attributes:
        kind: what the frames come from.
        name: of the file or folder, without its parents; or the camera's.
        length: frames to come, where that is known; None elsewhere.
        length_estimate: the same, or else a video's duration times its frame rate, which is no count; None where nobody
            knows.
        fps: frames per second; None for still images and where the file does not say.
    """

    def __init__(
        self,
        items: Iterator[Frame | Unreadable],
        *,
        kind: SourceKind,
        name: str,
        length: int | None = None,
        length_estimate: int | None = None,
        fps: float | None = None,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self.kind: SourceKind = kind
        self.name = name
        self.length = length
        self.length_estimate = length if length is not None else length_estimate
        self.fps = fps
        self._items = items
        self._close = close
        self._open = True
        self._unreadable: list[Unreadable] = []

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The images left out so far because they could not be read or used."""
        return tuple(self._unreadable)

    def leave_out(self, frame: Frame, reason: str) -> None:
        """Count a frame that was read and cannot be used among those left out."""
        self._leave_out(Unreadable(frame.name, reason))

    def _leave_out(self, item: Unreadable) -> None:
        _log.warning("%s: left out: %s", item.name, item.reason)
        self._unreadable.append(item)

    @property
    def live(self) -> bool:
        """Whether frames come from a camera: at its own pace and without end."""
        return self.kind in ("webcam", "device")

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if not self._open:
            raise StopIteration
        for item in self._items:
            if isinstance(item, Frame):
                return item
            self._leave_out(item)
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Give the file or camera back; what follows is an exhausted source."""
        if self._open:
            self._open = False
            self._close()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(text: str, *, recursive: bool = False, upright: bool = False) -> Source:
    """Open what ``text`` names.

    Digits are a webcam; a folder, the images in it; a file with one of ``IMAGE_SUFFIXES``, an image; any other file, a
    video. A file named by digits is reached as ``./0``.

    Args:
        text: a webcam's number, or the path of a folder or file.
        recursive: whether a folder's subfolders count.
        upright: turn images as their EXIF orientation says (``read_image``); videos always are turned as theirs does.

    Raises:
        UsageError: an empty text, an address, a number that no webcam has, or ``upright`` with a webcam.
        ImageError: nothing there, no image in the folder, no frame that can be decoded, no such webcam.
    """
    if not text:
        raise UsageError("source: expected an image, a folder, a video or the number of a webcam, got nothing")
    if is_webcam(text):
        if upright:
            raise UsageError("upright: counts for image files, not for a webcam")
        return open_webcam(int(text))
    path = Path(text)
    if path.is_dir():
        return open_folder(path, recursive=recursive, upright=upright)
    if not path.exists() and re.match("[A-Za-z][A-Za-z0-9+.-]*://", text):
        raise UsageError(f"source: {text} is an address; only files and cameras of this machine are opened")
    return open_image(path, upright=upright) if path.suffix.lower() in IMAGE_SUFFIXES else open_video(path)


def is_webcam(text: str) -> bool:
    """Whether what ``open_source`` is given names a webcam."""
    return re.fullmatch("[0-9]+", text) is not None


def open_image(path: Path, *, upright: bool = False) -> Source:
    """A source of one frame; see ``open_source`` for ``upright``.

    Raises:
        ImageError: see ``read_image``.
    """
    frame = Frame(read_image(path, upright=upright), 0, path.name, None)
    return Source(iter([frame]), kind="image", name=path.name, length=1)


def open_folder(folder: Path, *, recursive: bool = False, upright: bool = False) -> Source:
    """The images of a folder in natural order. Those that cannot be read are listed in ``unreadable``.

    See ``open_source`` for ``upright``.

    Raises:
        ImageError: no such folder or no image in it; and on reaching the end, when not one of them could be read.
    """
    found = find_images(folder, recursive=recursive)
    names = found.names
    if not names:
        raise ImageError(no_image_in(folder, recursive=recursive))
    left_out = tuple(Unreadable(name, reason) for name, reason in found.unreadable.items())
    items = itertools.chain(left_out, _frames_of_folder(folder, names, upright=upright))
    return Source(items, kind="folder", name=folder.resolve().name, length=len(names))


def open_video(path: Path) -> Source:
    """The frames of a video file, in colour, turned upright where the file says so, as players show it.

    Timestamps are the file's. Raw ``.mjpeg`` holds none: FFmpeg takes it to run at 25 frames per second. A file that is
    cut short ends at its last whole frame, with a warning in the log where the container tells (``containers``).

    Raises:
        ImageError: no such file, not a video in one of ``opencv.CONTAINERS``, or no frame of it can be decoded; the
            message names the codec where FFmpeg knows it.
    """
    if not path.is_file():
        reason = "not a regular file; a webcam is given by its number" if path.exists() else "no such file or folder"
        raise ImageError(f"{path}: {reason}")
    place = path.resolve()
    if not is_utf8(place):
        raise ImageError(f"{shown_name(str(place))}: OpenCV opens a video of a name in UTF-8 only; rename it")
    # An absolute path starts with «/», so that FFmpeg cannot take a file's name for an address of a protocol.
    with opening_video():
        capture = cv2.VideoCapture(os.fspath(place), cv2.CAP_FFMPEG)
    first = _next_picture(capture)
    container = read_container(path)
    if first is None:
        codec = _codec(capture)
        capture.release()
        raise ImageError(f"{path}: {_undecodable(path, codec, container)}")
    count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    estimate = int(count) if 0 < count < math.inf else None
    announced = estimate if container.counts_frames else None
    return Source(
        _frames_of_video(capture, first, path, announced, container.missing_bytes),
        kind="video",
        name=path.name,
        length=announced if container.missing_bytes == 0 else None,
        length_estimate=estimate,
        fps=fps if 0 < fps <= _HIGHEST_FPS else None,
        close=capture.release,
    )


def open_webcam(index: int) -> Source:
    """Frames of a webcam, in colour, until it is closed: of those that came meanwhile, the latest (``webcam``).

    Raises:
        UsageError: a number below 0 or above 99.
        ImageError: no such webcam; and later, when it stops delivering.
    """
    if not 0 <= index <= _HIGHEST_WEBCAM:
        raise UsageError(f"webcam: expected a number from 0 to {_HIGHEST_WEBCAM}, got {index}")
    with opening_video():
        capture = cv2.VideoCapture(index)
    first = _next_picture(capture)
    if first is None:
        capture.release()
        raise ImageError(f"webcam {index}: not there, in use elsewhere, or not permitted (see  ls -l /dev/video*)")
    fps = capture.get(cv2.CAP_PROP_FPS)
    reader = WebcamReader(first[0], lambda: _image_of(_next_picture(capture)), capture.release)
    return Source(
        _frames_of_webcam(reader, index),
        kind="webcam",
        name=f"webcam{index}",
        fps=fps if 0 < fps <= _HIGHEST_FPS else None,
        close=reader.close,
    )


def _frames_of_folder(folder: Path, names: tuple[str, ...], *, upright: bool) -> Iterator[Frame | Unreadable]:
    unreadable = 0
    for index, name in enumerate(names):
        item = _frame_of_file(folder, name, index, upright=upright)
        unreadable += isinstance(item, Unreadable)
        yield item
    if unreadable == len(names):
        raise ImageError(f"{folder}: not one of its {len(names)} images can be read")


def _frame_of_file(folder: Path, name: str, index: int, *, upright: bool) -> Frame | Unreadable:
    try:
        return Frame(read_image(folder / name, upright=upright), index, name, None)
    except ImageError as error:
        return Unreadable(name, str(error).removeprefix(f"{folder / name}: "))


def _frames_of_video(
    capture: cv2.VideoCapture, first: tuple[NDArray[np.uint8], float], path: Path, announced: int | None, missing: int
) -> Iterator[Frame]:
    index = 0
    picture: tuple[NDArray[np.uint8], float] | None = first
    while picture is not None:
        image, time_s = picture
        yield Frame(image, index, f"{path.stem}-{index:06d}", time_s)
        index += 1
        picture = _next_picture(capture)
    cut = f"; {missing:,} bytes of the file are missing" if missing else ""
    if announced is not None and index < announced:
        _log.warning("%s: ended after %d of the %d frames that its header announces%s", path, index, announced, cut)
    elif missing:
        _log.warning("%s: ended after %d frames%s", path, index, cut)


def _codec(capture: cv2.VideoCapture) -> str | None:
    """The codec of a video that FFmpeg opened, by its name or four-character code."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) if capture.isOpened() else 0
    letters = code.to_bytes(4, "little", signed=True).decode("latin-1").strip()
    return {"AV01": "AV1"}.get(letters.upper(), letters) if letters.isalnum() else None


def _undecodable(path: Path, codec: str | None, container: Container) -> str:
    """Why no frame came, and what to do."""
    if container.missing_bytes:
        missing = f"{container.missing_bytes:,} bytes of the file are missing"
        return f"no frame of it can be decoded; {missing}, get it whole"
    converted = f"ffmpeg -i {shlex.quote(os.fspath(path))} -c:v libx264 {shlex.quote(path.stem + '-h264.mp4')}"
    if codec is not None:
        return (
            f"no frame of it can be decoded: the FFmpeg inside OpenCV cannot read its codec, {codec}; try  {converted}"
        )
    return (
        "no frame of it can be decoded; expected a video (mp4, mov, mkv, webm, avi, mjpeg, gif, …) that holds its own "
        f"pictures, or an image with one of {' '.join(IMAGE_SUFFIXES)}; one that plays elsewhere can be converted:  "
        f"{converted}"
    )


def _frames_of_webcam(reader: WebcamReader, number: int) -> Iterator[Frame]:
    for grabbed in reader:
        yield Frame(grabbed.image, grabbed.number, f"webcam{number}-{grabbed.number:06d}", grabbed.time_s)
    raise ImageError(f"webcam {number}: stopped delivering after {reader.read_frames} frames")


def _image_of(picture: tuple[NDArray[np.uint8], float] | None) -> NDArray[np.uint8] | None:
    return None if picture is None else picture[0]


def _next_picture(capture: cv2.VideoCapture) -> tuple[NDArray[np.uint8], float] | None:
    """The next picture, uint8 (H, W, 3), and its time in seconds; None at the end."""
    with quiet_opencv(), contextlib.suppress(cv2.error):
        found, image = capture.read()
        if found and image is not None and image.dtype == np.uint8:
            return np.ascontiguousarray(image, np.uint8), capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return None
