"""One image file to an array of uint8, and the images of a folder.

Pixels are those of the file *as stored*, unless ``upright`` is asked for: an EXIF orientation is not applied. That is
how hloc reads images (``cv2.imread(…, mode | cv2.IMREAD_IGNORE_ORIENTATION)`` in ``hloc/utils/io.py``) and what
COLMAP's cameras refer to, so that keypoints written for them lie where they expect. TIFF is the exception: OpenCV
applies its orientation always, for hloc as well.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, first_line
from oakpoint.images.levels import uint8_from_levels
from oakpoint.images.opencv import quiet_opencv
from oakpoint.images.orientation import is_avif, upright_avif

IMAGE_SUFFIXES = (
    ".avif", ".bmp", ".dib", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
"""Lower-case suffixes of still images; a GIF may move and counts as a video."""

MAX_PIXELS = 1 << 28
"""Largest image that is read, 268 megapixels: more than any camera gives, and under 1 GiB in colour."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_log = logging.getLogger(__name__)


def read_image(path: Path | str, *, upright: bool = False) -> NDArray[np.uint8]:
    """Read an image file.

    An alpha channel is dropped and colours are left as they stand under it. Of an animation the first frame is read.
    Of 16-bit images that use a quarter of their range or more the high byte of every value is kept, as ``cv2.imread``
    does (but for TIFF in colour, which it rounds); values that use less, such as a thermal camera's, signed integers
    and floating point are scaled by the rule in ``images.levels``, and a warning in the log says from what range.

    Args:
        path: an existing regular file; any characters in its name.
        upright: turn and mirror the picture as its EXIF orientation says (in AVIF: ``irot`` and ``imir``), as viewers
            show it. Width and height may then be swapped, and pixels are those of the upright picture.

    Returns:
        uint8 (H, W) for a grey file, uint8 (H, W, 3) in the order blue, green, red for one in colour.

    Raises:
        ImageError: no such file, not an image OpenCV can read, cut short, without a finite value, or of more than
            ``MAX_PIXELS`` pixels.
    """
    path = Path(path)
    return decode_image(_content(path), path, upright=upright)


def decode_image(data: NDArray[np.uint8], path: Path | str, *, upright: bool = False) -> NDArray[np.uint8]:
    """The picture that the bytes of an image file hold; see ``read_image``.

    Args:
        data: uint8 (B,), the file's content.
        path: what messages call it.
        upright: see ``read_image``.

    Raises:
        ImageError: see ``read_image``.
    """
    if data.size == 0:
        raise ImageError(f"{path}: the file is empty")
    _check_png(path, data)
    try:
        with quiet_opencv():
            pixels = _decoded(data, upright=upright)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"{path}: cannot decode this image ({first_line(error)})") from error
    if pixels is None:
        raise ImageError(f"{path}: not an image that can be decoded, or cut short; re-export it as PNG or JPEG")
    _check_pixel_count(path, pixels.shape[1], pixels.shape[0])
    return _as_uint8(path, pixels)


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What there is in a folder of images.

    Attributes:
        names: relative to the folder, with ``/`` between parts, in natural order (2 before 10).
        unreadable: subfolders that could not be read, and why.
    """

    names: tuple[str, ...]
    unreadable: Mapping[str, str]


def find_images(folder: Path | str, *, recursive: bool = False) -> FoundImages:
    """The images in a folder.

    Files are told by suffix (``IMAGE_SUFFIXES``, in either case), whether they can be read or not: a link that leads
    nowhere is among them, so that it is not passed over in silence. Hidden files and folders are left out, and links to
    folders are not followed.

    Args:
        folder: an existing folder.
        recursive: whether to go into its subfolders.

    Raises:
        ImageError: no such folder, or it cannot be read.
    """
    unreadable: dict[str, str] = {}
    names = walk_images(Path(folder), unreadable.__setitem__, recursive=recursive)
    return FoundImages(tuple(sorted(names, key=_natural_order)), unreadable)


def walk_images(folder: Path, unreadable: Callable[[str, str], object], *, recursive: bool = False) -> Iterator[str]:
    """The names that ``find_images`` finds, one folder after the other, so that no more than one is held in memory.

    Args:
        folder: an existing folder.
        unreadable: hears the name of each subfolder that could not be read, and why.
        recursive: whether to go into its subfolders.

    Raises:
        ImageError: no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")

    def note(error: OSError) -> None:
        place, reason = Path(error.filename), f"this folder cannot be read ({error.strerror})"
        if place == folder:
            raise ImageError(f"{folder}: {reason}") from error
        unreadable(place.relative_to(folder).as_posix(), reason)

    for parent, subfolders, files in os.walk(folder, onerror=note):
        subfolders[:] = sorted(name for name in subfolders if recursive and not name.startswith("."))
        here = Path(parent).relative_to(folder)
        yield from ((here / name).as_posix() for name in sorted(files, key=_natural_order) if is_image_name(name))


def is_image_name(name: str) -> bool:
    """Whether a file is taken for an image: by its suffix, and not hidden."""
    return not name.startswith(".") and PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def list_images(folder: Path | str, *, recursive: bool = False) -> tuple[str, ...]:
    """The names alone, of a folder whose subfolders can all be read.

    Raises:
        ImageError: no such folder, or it or a subfolder cannot be read.
    """
    found = find_images(folder, recursive=recursive)
    for name, reason in found.unreadable.items():
        raise ImageError(f"{Path(folder) / name}: {reason}")
    return found.names


def stat_of(path: Path) -> os.stat_result:
    """Size and times of a file that images are read from.

    Raises:
        ImageError: no such file, not a regular one, or a folder on the way that may not be entered.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        reason = "a link that leads nowhere" if path.is_symlink() else "no such file"
        raise ImageError(f"{path}: {reason}") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        raise ImageError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise ImageError(f"{path}: expected an image file, got {what}")
    return found


def no_image_in(folder: Path, *, recursive: bool = False) -> str:
    """What to say of a folder in which ``list_images`` found none; it names a subfolder that has some."""
    known = f"known are {' '.join(IMAGE_SUFFIXES)}"
    if recursive:
        return f"{folder}: no image in this folder; {known}"
    text = f"{folder}: no image in this folder itself"
    with contextlib.suppress(ImageError):  # a subfolder that cannot be read is not what was asked about
        if names := list_images(folder, recursive=True):
            below = folder / Path(names[0]).parent
            return f"{text}, but {below} has {len(list_images(below))}; give that folder"
    return f"{text}; {known}"


def _content(path: Path) -> NDArray[np.uint8]:
    stat_of(path)
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from error
    return data


def _check_png(path: Path | str, data: NDArray[np.uint8]) -> None:
    """Refuse a PNG that is cut short, on which libpng itself writes to stderr, or that would unpack to gigabytes.

    Source: PNG specification (third edition), 5.2 signature, 11.2.2 IHDR, 11.2.5 IEND.
    """
    if data[:8].tobytes() != _PNG_SIGNATURE:
        return
    content = data.tobytes()
    if len(content) < 24 or content.rfind(b"IEND") < 0:
        raise ImageError(f"{path}: this PNG is cut short")
    width, height = struct.unpack(">II", content[16:24])
    _check_pixel_count(path, width, height)


def _check_pixel_count(path: Path | str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path}: expected at most {MAX_PIXELS:,} pixels, got {width} × {height}; scale it down first")


def _decoded(data: NDArray[np.uint8], *, upright: bool) -> NDArray[np.generic] | None:
    avif = upright and is_avif(data[:12].tobytes())
    # Without IMREAD_UNCHANGED OpenCV applies an EXIF orientation; type, depth and channels but alpha stay.
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH if upright and not avif else cv2.IMREAD_UNCHANGED
    pixels: NDArray[np.generic] | None = cv2.imdecode(data, flags)
    return upright_avif(data.tobytes(), pixels) if avif and pixels is not None else pixels


def _as_uint8(path: Path | str, pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    if pixels.ndim == 3:
        pixels = pixels[:, :, 0] if pixels.shape[2] < 3 else pixels[:, :, :3]
    try:
        levels, scaling = uint8_from_levels(pixels)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    if scaling is not None:
        _log.warning("%s: %s", path, scaling)
    return np.ascontiguousarray(levels)


def _natural_order(name: str) -> tuple[list[str | int], str]:
    parts: list[str | int] = [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name))]
    return parts, name
