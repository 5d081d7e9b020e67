"""Training images from folders and videos: grey, of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError
from oakpoint.images.preprocess import Preprocess
from oakpoint.images.sources import open_source

MAX_VIDEO_FRAMES = 300
"""Frames that are taken of a video, evenly spread where its length is known: neighbouring ones show the same."""


def gather_images(places: Sequence[Path], size: tuple[int, int]) -> NDArray[np.uint8]:
    """All images of folders (with their subfolders) and frames of videos, uint8 (N, H, W), grey.

    The largest centred part of the aspect ratio of ``size`` is cut out and scaled by area averaging. Images of a folder
    that cannot be read are left out, as ``open_source`` logs.

    Args:
        places: folders, images or videos.
        size: (W, H) in pixels, multiples of 8.

    Raises:
        ImageError: a place that does not exist, or not one image in all of them.
    """
    preprocess = Preprocess(size=size, resize="crop", interpolation="area", baked=True)
    gathered = [preprocess.apply(image)[0][0, 0] for place in places for image in _images_of(place)]
    if not gathered:
        raise ImageError(f"{', '.join(map(str, places))}: expected images or videos, got none that can be read")
    return np.stack(gathered).astype(np.uint8)


def _images_of(place: Path) -> Iterator[NDArray[np.uint8]]:
    with open_source(str(place), recursive=True) as source:
        step = 1
        if source.kind == "video" and source.length:
            step = max(1, source.length // MAX_VIDEO_FRAMES)
        for number, frame in enumerate(source):
            if number % step == 0:
                yield frame.image
            if source.kind == "video" and number + 1 >= step * MAX_VIDEO_FRAMES:
                return
