"""How far two models agree on the same images: in raw tensors, and in what users use, the decoded features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError
from oakpoint.features.decode import decode, heatmap_of
from oakpoint.features.matching import match
from oakpoint.features.refinement import refined_keypoints
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features, Outputs
from oakpoint.tasks.keypoints.heads.base import Form, as_it_is
from oakpoint.tasks.keypoints.heads.registry import outputs_of
from oakpoint.tasks.keypoints.scores import ScoreErrors
from oakpoint.tasks.keypoints.tolerances import COMPARED, SCORE_FLOOR, TOLERANCES
from oakpoint.threads import one_blas_thread
from oakpoint.verify.comparison import Comparison
from oakpoint.verify.rounding import USUAL_QUANTILE, ErrorSizes
from oakpoint.verify.tolerances import Tolerance

MATCH_TIE = 4.0
"""A match hangs on rounding when it beats the next best partner by less than this times a descriptor's usual error.

The margin is one of two cosines, and each of them has an error of two descriptors of unit length.
"""

Matched = dict[tuple[float, ...], float]
"""Matches as (x, y, x', y') with the margin by which each beat the next best partner."""

Places = set[tuple[int, int]]
"""Pixels as (row, column)."""

BLOCK = 512
"""Keypoints whose distances to all others are held at a time."""


@dataclass(frozen=True, slots=True)
class View:
    """What one model found in one image."""

    outputs: Outputs
    features: Features


SCALE = "a wrong input scale (0–255 where the network wants 0–1), or altered weights"
LOCAL = "a tile, copy or channel that went wrong, or a single altered weight"

LOOK_FOR = {
    "root mean square logit error, relative": SCALE,
    "root mean square descriptor error, relative": (
        "an overflow of FP16 (L2 normalisation on the device), a wrong input scale, altered weights, or outputs in "
        "another order"
    ),
    "usual score error": SCALE,
    "largest logit error, relative": LOCAL,
    "largest descriptor error, relative": LOCAL,
    "largest score error": LOCAL,
    "mean descriptor cosine": "the descriptor head: altered weights, or outputs in another order",
}
"""What a failed figure points to."""


@dataclass(slots=True)
class Agreement(Comparison[View]):
    """Figures of the agreement between a reference and a candidate, gathered over images.

    Shares are of the union: keypoints in common, divided by the larger of the two counts. A keypoint whose place hangs
    on an error of the scores as large as these images show (``rounding.ScoreErrors``) is a tie; one that is no tie and
    differs all the same is not explained.

    Keypoints, descriptors and matches are compared without refinement between pixels and without a limit on their
    number, whatever ``decode`` says: only whole pixels can be the same at 0 px, and which keypoints are the best of so
    many is a decision of the host, on scores that are compared. What refinement adds to it is one function of the heat
    map, on the host and the same for both sides. How far apart it brings keypoints in common is a figure of its own
    («refinement error»), and no verdict hangs on it: where a maximum is flat, rounding alone can move ``quadratic`` by
    up to a pixel.

    Attributes:
        decode: how outputs become keypoints.
        stage: whose limits count.
        outputs: makes what ``decode`` takes of the tensors of one image.
        reference_form: what is made of the reference's outputs before they are compared, where the two differ in form.
        candidate_form: the same for the candidate's.
        images: how many were compared.
        keypoints: how many of them both sides could have in common.
    """

    decode: DecodeOptions
    stage: str
    outputs: Callable[[Tensors], Outputs] = outputs_of
    reference_form: Form = as_it_is
    candidate_form: Form = as_it_is
    images: int = 0
    keypoints: int = 0
    _logits: ErrorSizes = field(default_factory=ErrorSizes)
    _descriptors: ErrorSizes = field(default_factory=ErrorSizes)
    _heatmap_error: float = 0.0
    _scores: ScoreErrors = field(init=False)
    _places: list[tuple[Places, Places]] = field(default_factory=list)
    _refinement_px: list[NDArray[np.float64]] = field(default_factory=list)
    _cosines: list[NDArray[np.float32]] = field(default_factory=list)
    _in_common: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    _matches: list[tuple[Matched, Matched]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._scores = ScoreErrors(self.decode, SCORE_FLOOR[self.stage])

    def reference(self, tensors: Tensors) -> View:
        """See ``Comparison.reference``."""
        return self.view(self.reference_form(self.outputs(tensors)))

    def candidate(self, tensors: Tensors) -> View:
        """See ``Comparison.candidate``."""
        return self.view(self.candidate_form(self.outputs(tensors)))

    def add(self, expected: Sequence[View], got: Sequence[View]) -> None:
        """See ``Comparison.add``."""
        for pair in zip(expected, got, strict=True):
            _require_same_shape(*pair)
            self.add_image(*pair)
        self.add_pair(expected, got)

    def tolerances(self) -> Sequence[Tolerance]:
        """See ``Comparison.tolerances``."""
        return TOLERANCES[self.stage]

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        return LOOK_FOR

    def why_nothing(self) -> str | None:
        """See ``Comparison.why_nothing``."""
        return None if self.keypoints else "no keypoints on either side: the decoded features could not be compared"

    def distributions(self) -> Mapping[str, NDArray[np.floating[Any]]]:
        """See ``Comparison.distributions``: the cosines of the descriptors of all keypoints in common."""
        return {"descriptor cosine": np.concatenate([np.zeros(0, np.float32), *self._cosines])}

    def success(self, figures: Mapping[str, float]) -> str:
        """See ``Comparison.success``."""
        return (
            f"{self.keypoints} keypoints on {self.images} images, "
            f"{figures['keypoints in common at 0 px']:.2%} in common at 0 px "
            f"({figures['keypoints that hang on rounding']:.1%} hang on rounding), "
            f"descriptor cosine {figures['mean descriptor cosine']:.6f} "
            f"(smallest {figures['smallest descriptor cosine']:.6f})"
        )

    def view(self, outputs: Outputs) -> View:
        """Decode the outputs of one model, to whole pixels, all of them."""
        return View(outputs, decode(outputs, replace(self.decode, subpixel="none", max_keypoints=None)))

    def add_image(self, reference: View, candidate: View) -> None:
        """Compare two models on one image; raw outputs that are not finite count as infinitely wrong."""
        self.images += 1
        self.keypoints += min(len(reference.features), len(candidate.features))
        self._add_tensors(reference.outputs, candidate.outputs)
        self._add_keypoints(reference, candidate)

    def add_pair(self, reference: Sequence[View], candidate: Sequence[View]) -> None:
        """Compare the matches that two models find between the same two images."""
        expected, got = (_matches(a.features, b.features) for a, b in (reference, candidate))
        self._matches.append((expected, got))

    def figures(self) -> dict[str, float]:
        """All figures by name; NaN where nothing could be measured."""
        found: dict[str, float] = {"largest heat-map error": self._heatmap_error}
        for name, errors in (("logit", self._logits), ("descriptor", self._descriptors)):
            found[f"largest {name} error"] = errors.largest
            found |= {f"{size} {name} error, relative": value for size, value in errors.relative().items()}
        largest, usual = self._scores.sizes()
        found |= {"largest score error": largest, "usual score error": usual}
        if self._refinement_px:
            apart_px = np.concatenate(self._refinement_px)
            found["largest refinement error, px"] = float(apart_px.max(initial=0.0))
            found["mean refinement error, px"] = _mean(apart_px)
        found |= {name: _share(*counts) for name, counts in self._in_common.items()}
        return found | self._keypoint_figures() | self._descriptor_figures() | self._match_figures()

    def _add_tensors(self, reference: Outputs, candidate: Outputs) -> None:
        heatmaps = heatmap_of(reference), heatmap_of(candidate)
        self._scores.add(*heatmaps)
        self._heatmap_error = max(self._heatmap_error, float(np.abs(heatmaps[0] - heatmaps[1]).max(initial=0.0)))
        self._descriptors.add(reference.descriptors, candidate.descriptors)
        if isinstance(reference, DenseOutputs) and isinstance(candidate, DenseOutputs):
            self._logits.add(reference.logits, candidate.logits)

    def _add_keypoints(self, reference: View, candidate: View) -> None:
        a, b = reference.features, candidate.features
        self._places.append((_places(a), _places(b)))
        distance_a, nearest = _nearest(a.keypoints, b.keypoints)
        distance_b, _ = _nearest(b.keypoints, a.keypoints)
        for radius in (0, 1):
            common = min(int((distance_a <= radius).sum()), int((distance_b <= radius).sum()))
            counts = self._in_common.setdefault(f"keypoints in common at {radius} px", np.zeros(2, np.int64))
            counts += (common, max(len(a), len(b)))
        same = np.flatnonzero(distance_a == 0)
        self._add_refinement(reference.outputs, candidate.outputs, a.keypoints[same].astype(np.int64))
        # Where neither side has a descriptor (all zero: the network gave none), there is nothing to compare.
        same = same[a.descriptors[same].any(axis=1) | b.descriptors[nearest[same]].any(axis=1)]
        self._cosines.append(np.einsum("nd,nd->n", a.descriptors[same], b.descriptors[nearest[same]]))

    def _add_refinement(self, reference: Outputs, candidate: Outputs, maxima: NDArray[np.int64]) -> None:
        if self.decode.subpixel == "none":
            return
        method = self.decode.subpixel
        expected, got = (refined_keypoints(heatmap_of(outputs), maxima, method) for outputs in (reference, candidate))
        self._refinement_px.append(np.hypot(*(expected - got).T.astype(np.float64)))

    def _keypoint_figures(self) -> dict[str, float]:
        """What rounding leaves open of the keypoints, and what it does not explain."""
        whole = ties = unexplained = 0
        for certainty, (expected, got) in zip(self._scores.certainties(), self._places, strict=True):
            certain = {tuple(place) for place in np.argwhere(certainty.kept).tolist()}
            possible = {tuple(place) for place in np.argwhere(certainty.possible).tolist()}
            whole += len(expected | got)
            ties += len((expected | got) - certain)
            unexplained += len(certain - got) + len(got - possible)
        return {
            COMPARED: float(self.keypoints),
            "keypoints that hang on rounding": _share(ties, whole),
            "keypoints that rounding does not explain": float(unexplained),
        }

    def _descriptor_figures(self) -> dict[str, float]:
        cosines = np.concatenate([np.zeros(0, np.float32), *self._cosines])
        smallest = float(np.nan_to_num(cosines, nan=-1.0).min()) if len(cosines) else float("nan")
        return {"mean descriptor cosine": _mean(cosines), "smallest descriptor cosine": smallest}

    def _match_figures(self) -> dict[str, float]:
        """Matches in common, also without those that beat the next best partner by no more than rounding can turn."""
        cosines = np.concatenate([np.zeros(0, np.float32), *self._cosines]).astype(np.float64)
        chord = np.sqrt(np.maximum(2 - 2 * cosines, 0))  # the distance of two unit vectors
        tie = MATCH_TIE * float(np.quantile(chord, USUAL_QUANTILE)) if len(chord) else 0.0
        common = whole = missing = 0
        for expected, got in self._matches:
            common += len(expected.keys() & got.keys())
            whole += max(len(expected), len(got))
            missing += max(_missing(expected, got, tie), _missing(got, expected, tie))
        return {
            "matches in common": _share(common, whole),
            "matches in common, ties aside": _share(max(whole - missing, 0), whole),
        }


def _require_same_shape(expected: View, got: View) -> None:
    shapes = [view.outputs.descriptors.shape for view in (expected, got)]
    if shapes[0] != shapes[1]:
        raise BackendError(f"descriptors: expected shape {shapes[0]}, got {shapes[1]}")


def _missing(matches: Matched, others: Matched, tie: float) -> int:
    """How many matches the others lack, those aside that won by less than ``tie``."""
    return sum(pair not in others and margin > tie for pair, margin in matches.items())


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _places(features: Features) -> Places:
    """(row, column) of each keypoint."""
    return {(int(y), int(x)) for x, y in features.keypoints}


def _nearest(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each point of ``a`` the distance in pixels to the nearest of ``b`` (infinite without one), and its index."""
    if not len(a) or not len(b):
        return np.full(len(a), np.inf), np.zeros(len(a), np.int64)
    distances, nearest = np.empty(len(a)), np.empty(len(a), np.int64)
    for start in range(0, len(a), BLOCK):
        rows = slice(start, start + BLOCK)
        x, y = (a[rows, None, axis].astype(np.float64) - b[None, :, axis] for axis in (0, 1))
        all_distances = np.hypot(x, y)
        nearest[rows] = all_distances.argmin(axis=1)
        distances[rows] = all_distances.min(axis=1)
    return distances, nearest


def nearest_pairs(a: NDArray[np.float32], b: NDArray[np.float32], within_px: float) -> NDArray[np.int64]:
    """Pairs (M, 2) of points that are each other's nearest, and less than ``within_px`` apart."""
    distances, nearest = _nearest(a, b)
    _, back = _nearest(b, a)
    rows = np.flatnonzero(distances < within_px)
    rows = rows[back[nearest[rows]] == rows]
    return np.stack([rows, nearest[rows]], axis=1)


@one_blas_thread()
def _matches(a: Features, b: Features) -> Matched:
    """The matches of two images as (x, y, x', y'), each with the margin by which it beat the next best partner.

    The margin is that of cosines, the smaller of the two sides'; infinite where there is no other partner.
    """
    indices = match(a, b).indices
    cosines = a.descriptors @ b.descriptors.T
    margins = np.full(len(indices), np.inf)
    for axis, table in ((0, cosines), (1, cosines.T)):
        if table.shape[1] > 1:
            best = np.partition(table, -2, axis=1)[:, -2:]
            margins = np.minimum(margins, (best[:, 1] - best[:, 0])[indices[:, axis]])
    positions = np.hstack([a.keypoints[indices[:, 0]], b.keypoints[indices[:, 1]]]).tolist()
    return {tuple(position): float(margin) for position, margin in zip(positions, margins, strict=True)}
