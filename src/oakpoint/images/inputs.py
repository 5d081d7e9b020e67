"""What may be given for an image: an array as it is, a file's path, a Pillow image; and what anything else is told."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError
from oakpoint.images.levels import uint8_from_levels
from oakpoint.images.reading import read_image

EXPECTED = "a NumPy array, uint8 (H, W) grey or (H, W, 3) in the order blue, green, red"

_CHANNELS = (1, 3, 4)
_OF_ONE_CHANNEL = ("1", "L", "LA", "La")
_OF_MORE_LEVELS = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes. Source: https://pillow.readthedocs.io/en/stable/handbook/concepts.html#modes"""

_log = logging.getLogger(__name__)


class PillowImage(Protocol):
    """What is used of ``PIL.Image.Image``, which is no dependency."""

    @property
    def mode(self) -> str:
        """Such as RGB."""

    def convert(self, mode: str) -> Any:
        """The same picture in another mode."""


Given = NDArray[np.uint8] | str | Path | PillowImage
"""An image, or what one is made of without a guess."""


def image_from(given: Given) -> NDArray[np.uint8]:
    """An image, uint8 (H, W) grey or (H, W, 3) in the order blue, green, red.

    Args:
        given: such an array, which is returned as it is; a file's path, which is read (``read_image``, as stored); or a
            Pillow image, whose red, green and blue change places, of which an alpha channel is dropped, and which
            beyond 8 bits is scaled as a file is (``images.levels``). A Pillow image too is taken as stored.

    Raises:
        ImageError: anything else; the message says what came and how to get what is expected.
    """
    if isinstance(given, (str, Path)):
        return read_image(given)
    if _is_pillow(given):
        return _image_from_pillow(given)
    return check_image(given)


def check_image(image: object) -> NDArray[np.uint8]:
    """Check that an object is an image as an array: uint8 (H, W) or (H, W, 3) with at least one pixel.

    Returns:
        The same array.

    Raises:
        ImageError: it is not; the message says what came and how to get what is expected.
    """
    if not isinstance(image, np.ndarray):
        raise ImageError(f"image: expected {EXPECTED}, got {_told(image)}")
    if image.dtype != np.uint8:
        raise ImageError(f"image: expected uint8, 0 to 255, got {image.dtype} {image.shape}; {_type_hint(image)}")
    if image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3):
        raise ImageError(
            f"image: expected (H, W), or (H, W, 3) in the order blue, green, red, got {image.shape}{_shape_hint(image)}"
        )
    if image.size == 0:
        raise ImageError(f"image: expected at least one pixel, got {image.shape}")
    return image


def _told(image: object) -> str:
    """The type of what came, its shape where it has one, and how to make an image of it."""
    kind = type(image)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    if image is None:
        return "None; cv2.imread returns None for a file that it cannot read"
    if isinstance(image, (list, tuple)):
        return f"a {name} of {len(image)}; one image at a time, made an array by np.array(…, np.uint8)"
    if kind.__module__.partition(".")[0] == "torch":
        shape = tuple(getattr(image, "shape", ()))
        channels_last = ".permute(1, 2, 0)" if len(shape) == 3 else ""
        return f"a {name} {shape}; tensor{channels_last}.numpy() is an array, whose type and channels are then checked"
    return name


def _type_hint(image: NDArray[Any]) -> str:
    if image.dtype == np.bool_:
        return "np.uint8(255) * image has the levels 0 and 255"
    if image.dtype.kind == "f":
        unit = image.size and np.nanmin(image) >= 0 and np.nanmax(image) <= 1
        factor = " * 255" if unit else ""
        return f"(image{factor}).round().clip(0, 255).astype(np.uint8) has grey levels"
    if image.dtype.kind in "ui":
        return "oakpoint.images.levels.uint8_from_levels(image)[0] scales it as files are scaled"
    return "make grey levels of it"


def _shape_hint(image: NDArray[Any]) -> str:
    if image.ndim == 4:
        return "; one image at a time"
    if image.ndim != 3:
        return ""
    if image.shape[2] == 1:
        return "; image[:, :, 0] is grey"
    if image.shape[2] == 4:
        return "; image[:, :, :3] is without alpha"
    if image.shape[0] in _CHANNELS:
        return "; channels come last: np.moveaxis(image, 0, -1)"
    return ""


def _is_pillow(given: object) -> TypeGuard[PillowImage]:
    module = sys.modules.get("PIL.Image")  # a Pillow image can only be there where Pillow was imported
    return module is not None and isinstance(given, module.Image)


def _image_from_pillow(image: PillowImage) -> NDArray[np.uint8]:
    try:
        if image.mode in _OF_MORE_LEVELS:
            return _levels_of_pillow(np.asarray(image))
        if image.mode in _OF_ONE_CHANNEL:
            return np.array(image.convert("L"), np.uint8)
        return np.array(np.asarray(image.convert("RGB"), np.uint8)[:, :, ::-1], order="C")
    except (OSError, ValueError) as error:  # a file cut short, which Pillow reads only now; a mode without a way to RGB
        raise ImageError(f"image: a Pillow image of mode {image.mode} cannot be used ({error})") from error


def _levels_of_pillow(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.int32 and pixels.size and pixels.min() >= 0 and pixels.max() <= np.iinfo(np.uint16).max:
        pixels = pixels.astype(np.uint16)  # older Pillow opens 16-bit files so
    levels, scaling = uint8_from_levels(pixels)
    if scaling is not None:
        _log.warning("image: %s", scaling)
    return levels
