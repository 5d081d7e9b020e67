"""Pictures on disk."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError
from oakpoint.files import replacing_file


def write_image(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture, whole or not at all; its suffix says in which format."""
    with replacing_file(path) as temporary:
        if not cv2.imwrite(str(temporary), picture):
            raise OutputError(f"{path}: the image could not be written")
