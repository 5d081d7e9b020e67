"""Pictures on disk."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError, UsageError
from oakpoint.files import replacing_file, writing
from oakpoint.images.opencv import quiet_opencv

STILL_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Of images that are written."""
PictureKind = Literal["image/png", "image/jpeg", "image/webp"]

_KINDS: dict[PictureKind, tuple[str, tuple[int, ...]]] = {
    "image/png": (".png", ()),
    "image/jpeg": (".jpg", (cv2.IMWRITE_JPEG_QUALITY,)),
    "image/webp": (".webp", (cv2.IMWRITE_WEBP_QUALITY,)),
}


def data_uri(picture: NDArray[np.uint8], kind: PictureKind, *, quality: int = 80) -> str:
    """A picture as the text of a link that holds it.

    Args:
        picture: uint8 (H, W), (H, W, 3) BGR or, as PNG, (H, W, 4) BGRA.
        kind: ``image/png`` keeps every pixel, ``image/webp`` and ``image/jpeg`` are smaller.
        quality: of the smaller ones, 1 to 100.

    Raises:
        OutputError: it cannot be encoded.
    """
    suffix, options = _KINDS[kind]
    content = encoded(picture, suffix, [value for option in options for value in (option, quality)])
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def write_image(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture, whole or not at all; its suffix says in which format.

    Raises:
        OutputError: it cannot be written.
    """
    content = encoded(picture, path.suffix)
    with replacing_file(path) as temporary, writing(temporary):
        temporary.write_bytes(content)


def encoded(picture: NDArray[np.uint8], suffix: str, options: Sequence[int] = ()) -> bytes:
    """A picture as the content of a file. OpenCV opens none itself: it crashes on names that are not UTF-8.

    Args:
        picture: uint8 (H, W) or (H, W, 3) BGR.
        suffix: says in which format, as ``.png``.
        options: of ``cv2.imencode``.

    Raises:
        OutputError: the format does not hold such a picture: a JPEG of more than 65,500 px, say.
    """
    height, width = picture.shape[:2]
    try:
        with quiet_opencv():
            done, content = cv2.imencode(suffix, picture, options)
    except cv2.error:
        done = False
    if not done:
        raise OutputError(f"a picture of {width}×{height} px cannot be written as {suffix}; take another format")
    return content.tobytes()


def check_not_read(save: Path, source: Path, *, option: str = "--save") -> None:
    """Refuse to write over what is read.

    Args:
        save: what is to be written.
        source: what is read.
        option: that ``save`` was given with.

    Raises:
        UsageError: ``save`` is ``source``.
    """
    if save.exists() and source.exists() and save.samefile(source):
        raise UsageError(f"{save}: is what is read, and would be lost; choose another {option}")
