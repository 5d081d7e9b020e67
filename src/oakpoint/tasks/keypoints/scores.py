"""Errors of keypoints' scores, and which keypoints they explain."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.types import DecodeOptions
from oakpoint.tasks.keypoints.certainty import Certainty, certainty_of
from oakpoint.verify.rounding import STANDS_OUT, USUAL_QUANTILE

MEASURED_FROM = 1 / 2
"""Scores from this share of the threshold on tell the usual error: the others decide nothing."""

KEPT_FROM = 1 / 8
"""Scores below this share of the threshold are forgotten, and no error is taken to be larger than that distance."""


@dataclass(frozen=True, slots=True)
class _Scores:
    """The scores of one image that may become keypoints, on both sides: flat indices and values."""

    shape: tuple[int, int]
    places: NDArray[np.int64]
    expected: NDArray[np.float32]
    got: NDArray[np.float32]


@dataclass(slots=True)
class ScoreErrors:
    """Errors of the scores, gathered over images; and what they explain.

    Attributes:
        decode: threshold, NMS and border.
        floor: no smaller error of a score's logarithm is taken for its rounding.
    """

    decode: DecodeOptions
    floor: float
    _images: list[_Scores] = field(default_factory=list)

    def add(self, expected: NDArray[np.float32], got: NDArray[np.float32]) -> None:
        """Take one image's heat maps (H, W)."""
        places = np.flatnonzero(np.maximum(expected, got) >= self.decode.threshold * KEPT_FROM)
        shape = expected.shape[0], expected.shape[1]
        self._images.append(_Scores(shape, places, expected.ravel()[places], got.ravel()[places]))

    def sizes(self) -> tuple[float, float]:
        """The largest and the usual error of a score's natural logarithm, of those scores that count; 0 without any.

        A score that is 0 on one side alone is infinitely off.
        """
        errors = np.concatenate([np.zeros(0), *map(self._logarithmic, self._images)])
        if not len(errors):
            return 0.0, 0.0
        return float(errors.max()), float(np.quantile(errors, USUAL_QUANTILE, method="lower"))

    def explained(self) -> float:
        """The largest error of a score's natural logarithm that there is and that rounding explains."""
        largest, usual = self.sizes()
        allowed = max(STANDS_OUT * usual, self.floor)
        return float(min(largest * (1 + 1e-6), allowed, -np.log(KEPT_FROM)))  # so that the largest is within itself

    def certainties(self) -> list[Certainty]:
        """For each image in its turn, which keypoints of the expected heat map are certain and which are possible."""
        error = self.explained()
        return [certainty_of(_expected_heatmap(image), error, self.decode) for image in self._images]

    def _logarithmic(self, image: _Scores) -> NDArray[np.float64]:
        larger = np.maximum(image.expected, image.got)
        counted = (larger >= self.decode.threshold * MEASURED_FROM) & (larger > 0)
        with np.errstate(divide="ignore"):  # a score below 0, which only a fault gives, is as far off as one of 0
            sides = (np.maximum(side[counted], 0) for side in (image.expected, image.got))
            expected, got = (np.log(side, dtype=np.float64) for side in sides)
        return np.asarray(np.abs(expected - got), np.float64)


def _expected_heatmap(image: _Scores) -> NDArray[np.float32]:
    heatmap = np.zeros(image.shape, np.float32)
    heatmap.ravel()[image.places] = image.expected
    return heatmap
