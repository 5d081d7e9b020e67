"""Pictures on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError, UsageError
from oakpoint.files import replacing_file

STILL_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Of images that are written."""


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
