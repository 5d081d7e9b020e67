"""Pictures on disk."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError, UsageError
from oakpoint.files import replacing_file

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
    encoded, content = cv2.imencode(suffix, picture, [value for option in options for value in (option, quality)])
    if not encoded:
        raise OutputError(f"a picture of {picture.shape[1]}x{picture.shape[0]} could not be encoded as {kind}")
    return f"data:{kind};base64,{base64.b64encode(content.tobytes()).decode()}"


def write_image(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture, whole or not at all; its suffix says in which format."""
    with replacing_file(path) as temporary:
        if not cv2.imwrite(str(temporary), picture):
            raise OutputError(f"{path}: the image could not be written")


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
