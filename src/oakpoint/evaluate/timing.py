"""Features with the time that they took, and the times of many images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oakpoint.features.types import Features

WARM_UPS = 1
"""Runs on the first image of each size that do not count. The first run at a size allocates its memory, and in OpenVINO
takes a quarter longer than the fifth (acorn at six sizes, the median); the second one does not."""


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Features of one image.

    Attributes:
        features: in pixels of the image that was given.
        milliseconds: what extraction took, preprocessing and decoding with it, once warm at the image's size; NaN where
            nothing was extracted.
        runtime: what extracted: runtime, version, device and precision.
    """

    features: Features
    milliseconds: float
    runtime: str


@dataclass(frozen=True, slots=True)
class SizeTime:
    """Times of the images of one size.

    Attributes:
        size: (W, H) in pixels.
        images: how many were timed.
        median_ms: half of them took less.
        lower_ms: a quarter of them took less.
        upper_ms: a quarter of them took more.
    """

    size: tuple[int, int]
    images: int
    median_ms: float
    lower_ms: float
    upper_ms: float


def times_by_size(times: Mapping[tuple[int, int], Sequence[float]]) -> tuple[SizeTime, ...]:
    """Median and quartiles for each size, the smallest first.

    Args:
        times: milliseconds of the images of each size (W, H), at least one of each.
    """
    sizes = sorted(times, key=lambda size: (size[0] * size[1], size))
    quartiles = {size: np.quantile(times[size], [0.5, 0.25, 0.75]).tolist() for size in sizes}
    return tuple(SizeTime(size, len(times[size]), *quartiles[size]) for size in sizes)
