"""What a protocol is: how images are prepared, which keypoints count, and what is measured on a pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.pairs import Image
from oakpoint.features.cells import require_cells
from oakpoint.features.types import Features
from oakpoint.geometry import PixelMap
from oakpoint.images.preprocess import Preprocess, grey_from_image

Reading = Literal["published", "exact"]
"""``published``: what the code computes from which the published figures come; ``exact``: the definition by itself,
with neither image preferred, nothing taken from the truth that a user would not have, and no dependence on order."""

TIME = Figure("time_ms", "time", "ms", "time_ms", "median", "lower")
"""Median over pairs of the extraction time for one image (the mean of the pair's two)."""

KEYPOINTS = Figure("keypoints", "keypoints", "", "keypoints", "mean", None)
"""Mean number of keypoints of an image that the protocol used."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An image as a protocol wants it.

    Attributes:
        image: uint8 (H, W), grey.
        prepared_from_original: the map from pixels of the image as it was.
        original_size: (W, H) of the image as it was, in pixels.
    """

    image: Image
    prepared_from_original: PixelMap
    original_size: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPoints:
    """The matches of a pair, for drawing.

    Attributes:
        first: float32 (M, 2), in pixels of the first prepared image.
        second: float32 (M, 2), likewise of the second.
        correct: bool (M,), within 3 px of the truth.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    correct: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a protocol measures on one pair.

    Attributes:
        values: by name; NaN where the pair has none.
        matches: the matches, where the protocol makes any.
    """

    values: Mapping[str, float]
    matches: MatchedPoints | None = None


class Protocol(ABC):
    """One way of measuring, with its parameters written out in its own file.

    Attributes:
        key: ``p1``, ``p2`` or ``p3``.
        title: for people.
        size: (W, H) in pixels to which images are scaled, ratio kept and the middle cut out; None: as they are.
        figures: what comes out, in the order of columns.
        left_out: sequences that this reading leaves out, by name.
    """

    key: str
    title: str
    size: tuple[int, int] | None
    figures: tuple[Figure, ...]
    left_out: frozenset[str] = frozenset()

    def __init__(self, reading: Reading = "published") -> None:
        """Choose the reading.

        Raises:
            UsageError: an unknown one.
        """
        if reading not in get_args(Reading):
            raise UsageError(f"reading: expected one of {', '.join(get_args(Reading))}, got {reading!r}")
        self.reading: Reading = reading

    @property
    def exact(self) -> bool:
        """Whether this is the exact reading."""
        return self.reading == "exact"

    def prepare(self, image: Image) -> Prepared:
        """The image at the protocol's size, grey.

        Args:
            image: uint8 (H, W) or (H, W, 3) BGR.

        Source: ``ratio_preserving_resize`` in superpoint/datasets/utils/pipeline.py of rpautrat/SuperPoint: scaled by
        the larger of both ratios, then cut about the centre. Here the middle is cut out first and scaled by area
        averaging, which gives the same pixels without aliasing.
        """
        original_size = (image.shape[1], image.shape[0])
        if self.size is None:
            return Prepared(grey_from_image(image), PixelMap((1.0, 1.0), (0.0, 0.0)), original_size)
        preprocess = Preprocess(size=require_cells(self.size), resize="crop", interpolation="area", baked=True)
        tensor, original_from_prepared = preprocess.apply(image)
        return Prepared(np.asarray(tensor[0, 0], np.uint8), original_from_prepared.inverse(), original_size)

    @abstractmethod
    def measure(self, first: Features, second: Features, second_from_first: NDArray[np.float64]) -> Measured:
        """Measure one pair.

        Args:
            first: all keypoints of the first prepared image, in its pixels.
            second: likewise of the second.
            second_from_first: the true homography (3, 3) between the prepared images.
        """

    @abstractmethod
    def parameters(self) -> Mapping[str, object]:
        """Everything that decides on the figures, by name."""
