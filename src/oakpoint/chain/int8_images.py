"""The images of an INT8 conversion: those that calibrate it, and those that judge it; none of them does both."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError
from oakpoint.images.reading import read_image
from oakpoint.verify.photographs import MAX_IMAGES, load_photographs, prepared_photographs

Images = Mapping[str, NDArray[np.uint8]]

FEWEST = 4
"""With fewer there is none to hold out."""

HELD_OUT_EVERY = 4
"""Of images that no others judge, every fourth is held out."""

MOST_CALIBRATING = 150
"""Images of a folder that calibrate, in the order of their names; with their second views as many as NNCF takes by
default (300), after which its ranges hardly move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Images:
    """Images by name, uint8 (H, W) or (H, W, 3) BGR.

    Attributes:
        calibrating: from which the ranges of values are learnt, and by which layers are chosen that stay in float.
        judging: on which the verdict rests; as they are, so that ``verify`` finds the same on them.
        sha256: of the pixels of each that calibrates.
    """

    calibrating: Images
    judging: Images
    sha256: Mapping[str, str]


def int8_images(calibration: Path | None, judging: Path | None, size: tuple[int, int]) -> Int8Images:
    """Read the images of an INT8 conversion.

    Args:
        calibration: folder of images that calibrate; None for the photographs in scikit-image's wheel.
        judging: folder of others to judge on; None holds out every fourth of the first.
        size: (W, H) in pixels to which those that calibrate are brought, since many are held at once.

    Raises:
        ImageError: no such folder; too few images in it; or not one that does not do both.
        MissingExtraError: no folder was given and scikit-image is not installed.
    """
    where = "the photographs in scikit-image's wheel" if calibration is None else str(calibration)
    found = prepared_photographs(calibration, _Sized(size), MOST_CALIBRATING)
    if len(found) < FEWEST:
        raise ImageError(
            f"{where}: expected {FEWEST} images or more that calibrate INT8, got {len(found)}; give more with "
            "--calibration"
        )
    if judging is None:
        names = [name for index, name in enumerate(found) if index % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
        used = {found[name].sha256 for name in names}
        held_out = [name for name in found if name not in names and found[name].sha256 not in used]
        judges = _as_they_are(calibration, held_out[:MAX_IMAGES])
    else:
        given = load_photographs(judging)
        hashes = {pixels_sha256(image) for image in given.values()}
        names = [name for name, image in found.items() if image.sha256 not in hashes]
        judges = dict(given)
    if not names or not judges:
        why = f"all {len(found)} images have the same pixels; expected different ones, some of which judge INT8"
        if judging is not None:
            why = "every image would both calibrate INT8 and judge it; leave out --images, or give others with it"
        raise ImageError(f"{where}: {why}")
    return Int8Images(
        calibrating={name: found[name].picture for name in names},
        judging=judges,
        sha256={name: found[name].sha256 for name in names},
    )


def _as_they_are(folder: Path | None, names: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Images of a folder, or of the photographs, at their own size."""
    if folder is not None:
        return {name: read_image(folder / name) for name in names}
    photographs = load_photographs(None)
    return {name: photographs[name] for name in names}


def not_calibrating(images: Images, calibrating: Mapping[str, str]) -> dict[str, NDArray[np.uint8]]:
    """Those of the images that did not calibrate, by their pixels.

    Args:
        images: by name.
        calibrating: sha256 of the pixels of those that did, by name.
    """
    used = set(calibrating.values())
    return {name: image for name, image in images.items() if pixels_sha256(image) not in used}


def at_size(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image stretched to (W, H) pixels, so that the geometry of its views is known in the network's pixels."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    smaller = image.shape[1] >= size[0] and image.shape[0] >= size[1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8)


def in_orientations(images: Images, most: int) -> dict[str, NDArray[np.uint8]]:
    """As many of the images as may be, and where there is room also mirrored, upside down, and both.

    A network finds other things in them, so that a mean over few images is steadier.
    """
    turned: dict[str, NDArray[np.uint8]] = dict(list(images.items())[:most])
    for what, rows, columns in (("mirrored", 1, -1), ("upside down", -1, 1), ("turned by 180°", -1, -1)):
        for name, image in images.items():
            if len(turned) < most:
                turned[f"{name}, {what}"] = np.ascontiguousarray(image[::rows, ::columns])
    return turned


def pixels_sha256(image: NDArray[np.uint8]) -> str:
    """SHA-256 of an image's shape and pixels, whatever file it came in."""
    return hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Picture:
    picture: NDArray[np.uint8]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Sized:
    """Brings an image to size as soon as it is read."""

    size: tuple[int, int]

    def __call__(self, image: NDArray[np.uint8]) -> _Picture:
        return _Picture(at_size(image, self.size), pixels_sha256(image))
