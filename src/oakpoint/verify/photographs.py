"""Real images to verify on: a folder of the user's, or photographs that lie in scikit-image's wheel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, MissingExtraError
from oakpoint.images.photographs import SCIKIT_IMAGE, photographs_in_wheels
from oakpoint.images.reading import list_images, read_image

_log = logging.getLogger(__name__)

Made = TypeVar("Made")

PHOTOGRAPHS = SCIKIT_IMAGE
"""Those in scikit-image's wheel: faces, fur, objects, a wall; nothing is downloaded."""

MAX_IMAGES = 32
"""A verdict is about arithmetic, not about scenes: more images than these make it slower, not surer."""


def load_photographs(folder: Path | None) -> dict[str, NDArray[np.uint8]]:
    """Images by name, uint8 (H, W) or (H, W, 3) BGR: those of a folder (maybe none), or the photographs above.

    An image of a folder that cannot be read is left out, and logged.

    Raises:
        ImageError: no such folder, or images in it of which not one can be read.
        MissingExtraError: no folder was given and scikit-image is not installed.
    """
    return prepared_photographs(folder, lambda image: image)


def prepared_photographs(
    folder: Path | None, prepare: Callable[[NDArray[np.uint8]], Made], most: int = MAX_IMAGES
) -> dict[str, Made]:
    """As ``load_photographs``, and what is made of each as soon as it is read, so that large ones are not all held.

    Args:
        folder: see ``load_photographs``.
        prepare: what is made of an image.
        most: how many of a folder are taken, in the order of their names.

    Raises:
        ImageError: no such folder, or images in it of which not one can be read.
        MissingExtraError: no folder was given and scikit-image is not installed.
    """
    if folder is not None:
        return _readable_images(folder, prepare, most)
    found = {name: path for name, path in photographs_in_wheels().items() if name in PHOTOGRAPHS}
    if not found:
        raise MissingExtraError(
            "scikit-image, whose photographs conversions are verified on (or give --images DIR),", "torch"
        )
    return {name: prepare(read_image(path)) for name, path in found.items()}


def _readable_images(folder: Path, prepare: Callable[[NDArray[np.uint8]], Made], most: int) -> dict[str, Made]:
    images: dict[str, Made] = {}
    first: ImageError | None = None
    for name in list_images(folder):
        if len(images) == most:
            break
        try:
            images[name] = prepare(read_image(folder / name))
        except ImageError as error:
            first = first or error
            _log.warning("left out: %s", error)
    if first is not None and not images:
        raise first
    return images


def second_view(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image turned by 8° and scaled by 0.9 about its centre: something to match it with."""
    size = (image.shape[1], image.shape[0])
    turn = second_from_first(size)[:2]
    return np.asarray(cv2.warpAffine(image, turn, size, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def second_from_first(size: tuple[int, int]) -> NDArray[np.float64]:
    """The homography (3, 3) from pixels of an image of (W, H) to those of its ``second_view``."""
    width, height = size
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 8.0, 0.9)
    return np.vstack([turn, [0.0, 0.0, 1.0]])
