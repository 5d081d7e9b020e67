"""How far two detectors agree on the same images: in their tensors, in scores and places, and in the boxes found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.tasks.after_tensors import AfterTensors, Form, share
from oakpoint.tasks.boxes.certainty import Pairs, certainty_of, extent_of, reach_of
from oakpoint.tasks.boxes.overlap import pairs_of_boxes
from oakpoint.tasks.boxes.suppression import kept_boxes
from oakpoint.tasks.boxes.tolerances import (
    LARGEST_PLACE,
    LARGEST_SCORE,
    LIMITS,
    UNEXPLAINED,
    USUAL_PLACE,
    USUAL_SCORE,
    tolerances,
)
from oakpoint.verify.rounding import STANDS_OUT, USUAL_QUANTILE
from oakpoint.verify.tolerances import Tolerance

CORNERS, SCORES = "box corners", "class scores"
"""What is read from the outputs: (1, 4, A) and (1, C, A)."""

FEWEST, MOST = 10, 300
"""Boxes of an image that are compared: with fewer above the threshold, or more, another one is taken that gives so
many before suppression. So detectors can be compared on images that show nothing of their classes."""

REMEMBERED = 3000
"""Rows of an image that are remembered, the highest scores first."""

COUNTED_FROM, FORGOTTEN_BELOW = 1 / 2, 1 / 4
"""Scores from these shares of an image's threshold on tell how large errors are, and can be of consequence."""

IN_COMMON = (0.5, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """Rows of one model: corners (N, 4) and scores (N, C)."""

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> _Side:
        return _Side(self.corners[chosen], self.scores[chosen])

    def best(self) -> NDArray[np.float32]:
        return np.asarray(self.scores.max(axis=1), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """What is remembered of one image: the same rows of both models, and what came of them.

    Attributes:
        threshold: lowest score of a box.
        left_out: the highest score of a row that is not remembered.
        kept: rows and classes of the boxes found by each model.
    """

    expected: _Side
    got: _Side
    threshold: float
    left_out: float
    kept: tuple[Pairs, Pairs]


@final
class BoxesAgreement(AfterTensors):
    """Boxes in common, differences of scores and places, and boxes that rounding does not explain.

    Both models have the same rows, so that a box is compared with itself. The error of a score is that of its logit
    (``certainty.reach_of``), that of a place a share of the box (``certainty.extent_of``).
    """

    def __init__(self, stage: str, iou_threshold: float, threshold: float, forms: tuple[Form, Form]) -> None:
        """Take the stage, the task's thresholds, and what makes ``CORNERS`` and ``SCORES`` of each model's outputs."""
        super().__init__(stage, *forms)
        self._stage, self._iou_threshold, self._threshold = stage, iou_threshold, threshold
        self._images: list[_Image] = []

    def add_image(self, expected: Tensors, got: Tensors) -> None:
        """See ``AfterTensors.add_image``."""
        sides = [_side(tensors) for tensors in (expected, got)]
        ranked = np.sort(sides[0].best())[::-1]
        threshold = max(min(self._threshold, _at(ranked, FEWEST)), _at(ranked, MOST))
        either = np.maximum(sides[0].best(), sides[1].best())
        order = np.argsort(-either, kind="stable")
        taken = order[:REMEMBERED][either[order[:REMEMBERED]] >= threshold * FORGOTTEN_BELOW]
        left_out = float(np.delete(either, taken).max(initial=0.0))
        rows = np.sort(taken)
        a, b = (side.rows(rows) for side in sides)
        kept = self._found(a, threshold), self._found(b, threshold)
        self._images.append(_Image(a, b, threshold, left_out, kept))

    def _found(self, side: _Side, threshold: float) -> Pairs:
        rows = np.flatnonzero(side.best() >= threshold)
        classes = side.scores[rows].argmax(axis=1)
        kept = kept_boxes(side.corners[rows], side.best()[rows], classes, self._iou_threshold)
        return set(zip(rows[kept].tolist(), classes[kept].tolist(), strict=True))

    def own_figures(self) -> dict[str, float]:
        """See ``AfterTensors.own_figures``."""
        score, place = (self._sizes(measure) for measure in (_score_errors, _place_errors))
        found = {LARGEST_SCORE: score[0], USUAL_SCORE: score[1], LARGEST_PLACE: place[0], USUAL_PLACE: place[1]}
        return found | self._in_common() | self._explained(score, place)

    def _sizes(self, measure: Callable[[_Image], NDArray[np.float64]]) -> tuple[float, float]:
        """The largest and the usual error; NaN where nothing counts."""
        errors = np.concatenate([np.zeros(0), *map(measure, self._images)])
        if not len(errors):
            return float("nan"), float("nan")
        return float(errors.max()), float(np.quantile(errors, USUAL_QUANTILE, method="lower"))

    def _in_common(self) -> dict[str, float]:
        counts, whole, difference = dict.fromkeys(IN_COMMON, 0), 0, 0.0
        for image in self._images:
            whole += max(map(len, image.kept))
            for overlap, scores in _matched(image):
                for limit in IN_COMMON:
                    counts[limit] += overlap >= limit
                difference = max(difference, abs(scores[0] - scores[1]))
        shares = {f"boxes in common at IoU {limit}": share(count, whole) for limit, count in counts.items()}
        compared = sum(min(map(len, image.kept)) for image in self._images)
        return {"boxes compared": float(compared), **shares, "largest score difference in common": difference}

    def _explained(self, score: tuple[float, float], place: tuple[float, float]) -> dict[str, float]:
        """Boxes that rounding leaves open, and those that it does not explain."""
        limits = LIMITS[self._stage]
        error = min(score[0] * (1 + 1e-6), max(STANDS_OUT * score[1], limits.score_floor))
        place_error = min(place[0] * (1 + 1e-6), max(STANDS_OUT * place[1], limits.place_floor))
        whole = ties = unexplained = 0
        for image in self._images:
            expected, got = image.kept
            whole += len(expected | got)
            if not error <= _farthest(image):
                ties += len(expected | got)  # rounding can turn anything here
                continue
            certainty = certainty_of(
                image.expected.corners,
                image.expected.scores,
                threshold=image.threshold,
                iou_threshold=self._iou_threshold,
                error=error,
                place_error=place_error,
            )
            ties += len((expected | got) - certainty.kept)
            unexplained += len(certainty.kept - got) + len(got - certainty.possible)
        return {"boxes that hang on rounding": share(ties, whole), UNEXPLAINED: float(unexplained)}

    def own_tolerances(self) -> Sequence[Tolerance]:
        """See ``AfterTensors.own_tolerances``."""
        return tolerances(self._stage)

    def distributions(self) -> Mapping[str, NDArray[np.floating[Any]]]:
        """See ``Comparison.distributions``: also the overlaps of boxes in common."""
        overlaps = [overlap for image in self._images for overlap, _ in _matched(image)]
        return {**self.raw.distributions(), "IoU of boxes in common": np.array(overlaps)}

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        everywhere = "a wrong scale, mean or order of the channels, altered weights, or classes in another order"
        local = "a tile, copy or channel that went wrong, or a single altered weight"
        own = {USUAL_SCORE: everywhere, USUAL_PLACE: everywhere, LARGEST_SCORE: local, LARGEST_PLACE: local}
        return {**self.raw.look_for(), **own, UNEXPLAINED: local}

    def success(self, figures: Mapping[str, float]) -> str:
        """See ``Comparison.success``."""
        return (
            f"{figures['boxes compared']:.0f} boxes on {self.images} images, "
            f"{figures['boxes in common at IoU 0.5']:.2%} in common at IoU 0.5, "
            f"{figures['boxes in common at IoU 0.9']:.2%} at 0.9 "
            f"({figures['boxes that hang on rounding']:.1%} hang on rounding), "
            f"usual error of a score's logit {figures[USUAL_SCORE]:.2g}"
        )


def _side(tensors: Tensors) -> _Side:
    corners, scores = (np.nan_to_num(tensors[name][0].T) for name in (CORNERS, SCORES))
    return _Side(corners.astype(np.float32), np.clip(scores, 0, 1).astype(np.float32))


def _at(ranked: NDArray[np.float32], count: int) -> float:
    """The score that so many reach, of scores in descending order."""
    return float(ranked[min(count, len(ranked)) - 1]) if len(ranked) else 0.0


def _counted(image: _Image) -> NDArray[np.bool_]:
    either = np.maximum(image.expected.best(), image.got.best())
    return either >= max(image.threshold * COUNTED_FROM, 1e-6)


def _score_errors(image: _Image) -> NDArray[np.float64]:
    """Of each row that counts, the largest error of its classes."""
    counted = _counted(image)
    expected, got = (side.scores[counted].astype(np.float64) for side in (image.expected, image.got))
    return np.asarray((np.abs(expected - got) / reach_of(expected)).max(axis=1, initial=0.0))


def _place_errors(image: _Image) -> NDArray[np.float64]:
    """Of each row that counts, how far its coordinates are off at most."""
    counted = _counted(image)
    expected, got = (side.corners[counted].astype(np.float64) for side in (image.expected, image.got))
    return np.asarray(np.abs(expected - got).max(axis=1, initial=0.0) / extent_of(expected))


def _farthest(image: _Image) -> float:
    """The largest error of a logit for which what is not remembered stays of no consequence."""
    forgotten = max(image.left_out, image.threshold * FORGOTTEN_BELOW)
    return max(image.threshold - forgotten, 0.0) / float(reach_of(np.array([forgotten]))[0])


def _matched(image: _Image) -> list[tuple[float, tuple[float, float]]]:
    """IoU and scores of boxes of one class in both models, each taken once, the nearest first."""
    expected, got = (sorted(pairs) for pairs in image.kept)
    if not expected or not got:
        return []
    rows_a, classes_a = np.array(expected).T
    rows_b, classes_b = np.array(got).T
    corners = image.expected.corners[rows_a], image.got.corners[rows_b]
    found = []
    for i, j, overlap in pairs_of_boxes(corners[0], classes_a, corners[1], classes_b, min(IN_COMMON)):
        a = image.expected.scores[rows_a[i], classes_a[i]]
        b = image.got.scores[rows_b[j], classes_b[j]]
        found.append((overlap, (float(a), float(b))))
    return found
