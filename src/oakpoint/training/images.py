"""Training images from folders and videos: grey, of one size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from oakpoint.errors import ImageError
from oakpoint.features.cells import require_cells
from oakpoint.files import writing
from oakpoint.images.preprocess import Preprocess
from oakpoint.images.sources import open_source

MAX_VIDEO_FRAMES = 300
"""Frames that are taken of a video, evenly spread where its length is known: neighbouring ones show the same."""


LARGEST_PIXELS = 640 * 480
"""Pixels of an image that is trained on, where no size is given; larger ones are scaled down."""

SIDE_MULTIPLE = 32
"""Sides are rounded down to it: most teachers work at 1/32 of the image, too."""


def gather_images(
    places: Sequence[Path],
    size: tuple[int, int] | None,
    told: Callable[[int], None] = lambda _: None,
    *,
    spool: Path | None = None,
) -> NDArray[np.uint8]:
    """All images of folders (with their subfolders) and frames of videos, uint8 (N, H, W), grey.

    The largest centred part of the aspect ratio of ``size`` is cut out and scaled by area averaging. Images of a folder
    that cannot be read are left out, as ``open_source`` logs.

    Args:
        places: folders, images or videos.
        size: (W, H) in pixels, multiples of 8; None: that of the first image, or less, see ``default_size``.
        told: hears after each image how many there are.
        spool: a folder with room for all of them; they go into a file there that has no name and is gone with the
            array, which maps it. None: the system's folder for temporary files.

    Raises:
        ImageError: a place that does not exist, or not one image in all of them.
        UsageError: a size whose sides are no multiples of 8.
        OutputError: the disk is full.
    """
    count = 0
    with tempfile.TemporaryFile(dir=spool) as file:
        for image in (image for place in places for image in _images_of(place)):
            size = size or default_size((image.shape[1], image.shape[0]))
            preprocess = Preprocess(size=require_cells(size), resize="crop", interpolation="area", baked=True)
            with writing(spool or Path(tempfile.gettempdir())):
                file.write(preprocess.apply(image)[0][0, 0].astype(np.uint8).tobytes())
                file.flush()
            count += 1
            told(count)
        if not count or size is None:
            raise ImageError(f"{', '.join(map(str, places))}: expected images or videos, got none that can be read")
        return np.memmap(file, np.uint8, "r", shape=(count, size[1], size[0]))


def grey_tensor(image: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """An image (H, W) as networks take it: float32 (1, 1, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image)).to(device)[None, None].float() / 255


def default_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """(W, H) to train on images of (W, H) pixels: no more than ``LARGEST_PIXELS``, multiples of ``SIDE_MULTIPLE``."""
    shrink = min(1.0, (LARGEST_PIXELS / (image_size[0] * image_size[1])) ** 0.5)
    width, height = (max(1, round(side * shrink) // SIDE_MULTIPLE) * SIDE_MULTIPLE for side in image_size)
    return width, height


def _images_of(place: Path) -> Iterator[NDArray[np.uint8]]:
    # «./» in front: a folder may be called 0, which by itself is a webcam.
    with open_source(str(place if place.is_absolute() else Path.cwd() / place), recursive=True) as source:
        step = 1
        if source.kind == "video" and source.length_estimate:
            step = -(-source.length_estimate // MAX_VIDEO_FRAMES)
        for number, frame in enumerate(source):
            if number % step == 0:
                yield frame.image
            if source.kind == "video" and number + 1 >= step * MAX_VIDEO_FRAMES:
                return
