"""How large the errors between two models are on the images at hand, and how large the largest may be for it.

Rounding is everywhere: an error that comes of it has a size that most values share, and the largest of a million is
some times that size. A fault is somewhere: it stands out. So the largest error is held against the *usual* one, which
the images themselves tell, as well as against a limit of its own; and the usual one against a limit, since a fault that
is everywhere stands out nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.types import DecodeOptions
from oakpoint.verify.certainty import Certainty, certainty_of

USUAL_QUANTILE = 0.99
"""The usual error is that which one value in a hundred exceeds.

Not the median: in dark or empty images most errors are small because the values are, and those where something is to be
seen are not a fault for being larger.
"""

STANDS_OUT = 8.0
"""An error this many times the usual one is not of rounding."""

MEASURED_FROM = 1 / 2
"""Scores from this share of the threshold on tell the usual error: the others decide nothing."""

KEPT_FROM = 1 / 8
"""Scores below this share of the threshold are forgotten, and no error is taken to be larger than that distance."""


@dataclass(slots=True)
class ErrorSizes:
    """Sizes of the errors of one tensor, gathered over images.

    An error is that of one place of the tensor: the largest of its channels, so that a fault in one of them counts.
    """

    _errors: list[NDArray[np.float32]] = field(default_factory=list)
    _squares: float = 0.0
    _expected_squares: float = 0.0
    _largest_expected: float = 0.0

    def add(self, expected: NDArray[np.float32], got: NDArray[np.float32]) -> None:
        """Take one image's tensors, channels first, of any rank.

        What is not finite where a number was expected is infinitely wrong; where none was, nothing can be said.
        """
        known = np.isfinite(expected)
        with np.errstate(invalid="ignore"):
            error = np.where(known, np.nan_to_num(np.abs(expected - got), nan=np.inf, posinf=np.inf), 0.0)
        expected = np.where(known, expected, np.float32(0))
        self._errors.append(error.reshape(len(error), -1).max(axis=0).astype(np.float32))
        self._squares += float(np.square(error, dtype=np.float64).sum())
        self._expected_squares += float(np.square(expected, dtype=np.float64).sum())
        self._largest_expected = max(self._largest_expected, float(np.abs(expected).max(initial=0.0)))

    @property
    def largest(self) -> float:
        """The largest error, in the tensor's own unit; NaN without any image."""
        return max((float(errors.max(initial=0.0)) for errors in self._errors), default=float("nan"))

    def relative(self) -> dict[str, float]:
        """The largest and the usual error as shares of the largest value expected, and the root mean square of all.

        0 where nothing differs, infinite where only zeros were expected and something came, NaN without any image.
        """
        if not self._errors:
            return dict.fromkeys(("largest", "usual", "root mean square"), float("nan"))
        usual = float(np.quantile(np.concatenate(self._errors), USUAL_QUANTILE, method="lower"))
        return {
            "largest": _share(self.largest, self._largest_expected),
            "usual": _share(usual, self._largest_expected),
            "root mean square": _share(self._squares**0.5, self._expected_squares**0.5),
        }


def _share(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole > 0 else float("inf")


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
        with np.errstate(divide="ignore"):
            expected, got = (np.log(side[counted], dtype=np.float64) for side in (image.expected, image.got))
        return np.asarray(np.abs(expected - got), np.float64)


def _expected_heatmap(image: _Scores) -> NDArray[np.float32]:
    heatmap = np.zeros(image.shape, np.float32)
    heatmap.ravel()[image.places] = image.expected
    return heatmap
