"""How far two models agree on the same images: in raw tensors, and in what users use, the decoded features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.decode import decode, heatmap_of
from oakpoint.features.matching import match
from oakpoint.features.refinement import refined_keypoints
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features, Outputs
from oakpoint.threads import one_blas_thread

MATCH_TIE = 0.1
"""A match hangs on rounding when it beats the next best partner by less than this times the stage's tie, in cosine.

Rounding turns a descriptor by less than it moves a score: 1 % of the cosine where a score may move by 10 %.
"""

Matched = dict[tuple[float, ...], float]
"""Matches as (x, y, x', y') with the margin by which each beat the next best partner."""

BLOCK = 512
"""Keypoints whose distances to all others are held at a time."""


@dataclass(frozen=True, slots=True)
class View:
    """What one model found in one image."""

    outputs: Outputs
    features: Features


@dataclass(slots=True)
class Agreement:
    """Figures of the agreement between a reference and a candidate, gathered over images.

    Shares are of the union: keypoints in common, divided by the larger of the two counts.

    Keypoints, descriptors and matches are compared without refinement between pixels, whatever ``decode`` says: only
    whole pixels can be the same at 0 px. What refinement adds to it is one function of the heat map, on the host and
    the same for both sides, and the heat maps are compared as well. How far apart it brings keypoints in common is a
    figure of its own («refinement error»), and no verdict hangs on it: where a maximum is flat, rounding alone can move
    ``quadratic`` by up to a pixel.
    """

    decode: DecodeOptions
    tie: float
    images: int = 0
    keypoints: int = 0
    _largest: dict[str, float] = field(default_factory=dict)
    _smallest: dict[str, float] = field(default_factory=dict)
    _means: dict[str, list[float]] = field(default_factory=dict)
    _counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def view(self, outputs: Outputs) -> View:
        """Decode the outputs of one model, to whole pixels."""
        return View(outputs, decode(outputs, replace(self.decode, subpixel="none")))

    def add_image(self, reference: View, candidate: View) -> None:
        """Compare two models on one image."""
        self.images += 1
        self.keypoints += min(len(reference.features), len(candidate.features))
        self._add_tensors(reference.outputs, candidate.outputs)
        self._add_keypoints(reference, candidate)

    def add_pair(self, reference: Sequence[View], candidate: Sequence[View]) -> None:
        """Compare the matches that two models find between the same two images."""
        expected, got = (_matches(a.features, b.features) for a, b in (reference, candidate))
        whole = max(len(expected), len(got))
        self._count("matches in common", len(expected.keys() & got.keys()), whole)
        missing = max(self._missing(expected, got), self._missing(got, expected))
        self._count("matches in common, ties aside", max(whole - missing, 0), whole)

    def _missing(self, matches: Matched, others: Matched) -> int:
        """How many matches the others lack, those aside that hang on rounding."""
        return sum(pair not in others and margin > self.tie * MATCH_TIE for pair, margin in matches.items())

    def figures(self) -> dict[str, float]:
        """All figures by name; NaN where nothing could be measured."""
        shares = {name: float(part / whole) if whole else np.nan for name, (part, whole) in self._counts.items()}
        means = {name: float(np.mean(values)) for name, values in self._means.items()}
        return self._largest | means | shares | self._smallest | {"keypoints compared": float(self.keypoints)}

    def _add_tensors(self, reference: Outputs, candidate: Outputs) -> None:
        pairs = {
            "descriptor": (reference.descriptors, candidate.descriptors),
            "heat-map": (heatmap_of(reference), heatmap_of(candidate)),
        }
        if isinstance(reference, DenseOutputs) and isinstance(candidate, DenseOutputs):
            pairs["logit"] = (reference.logits, candidate.logits)
        for name, (expected, got) in pairs.items():
            error = np.abs(expected - got)
            # NaN would lose against any number in max(): it counts as infinitely wrong
            largest = float(np.nan_to_num(error, nan=np.inf).max(initial=0.0))
            self._raise(f"largest {name} error", largest)
            self._means.setdefault(f"mean {name} error", []).append(float(np.mean(error)))
            if name != "heat-map":
                self._raise(f"largest {name} error, relative", largest / max(float(np.abs(expected).max()), 1e-12))

    def _add_keypoints(self, reference: View, candidate: View) -> None:
        a, b = reference.features, candidate.features
        distance_a, nearest = _nearest(a.keypoints, b.keypoints)
        distance_b, _ = _nearest(b.keypoints, a.keypoints)
        whole = max(len(a), len(b))
        ties = (self._ties(reference.outputs, a), self._ties(candidate.outputs, b))
        for radius in (0, 1):
            common = min(int((distance_a <= radius).sum()), int((distance_b <= radius).sum()))
            self._count(f"keypoints in common at {radius} px", common, whole)
            missing = ((distance_a > radius) & ~ties[0]).sum() + ((distance_b > radius) & ~ties[1]).sum()
            self._count(f"keypoints in common at {radius} px, ties aside", max(whole - int(missing), 0), whole)
        same = np.flatnonzero(distance_a == 0)
        self._add_refinement(reference.outputs, candidate.outputs, a.keypoints[same].astype(np.int64))
        # Where neither side has a descriptor (all zero: the network gave none), there is nothing to compare.
        same = same[a.descriptors[same].any(axis=1) | b.descriptors[nearest[same]].any(axis=1)]
        if len(same):
            cosines = np.einsum("nd,nd->n", a.descriptors[same], b.descriptors[nearest[same]])
            self._lower("smallest descriptor cosine", float(np.nan_to_num(cosines, nan=-1.0).min()))
            self._means.setdefault("mean descriptor cosine", []).append(float(cosines.mean()))

    def _add_refinement(self, reference: Outputs, candidate: Outputs, maxima: NDArray[np.int64]) -> None:
        if self.decode.subpixel == "none" or not len(maxima):
            return
        method = self.decode.subpixel
        expected, got = (refined_keypoints(heatmap_of(outputs), maxima, method) for outputs in (reference, candidate))
        apart_px = np.hypot(*(expected - got).T)
        self._raise("largest refinement error, px", float(apart_px.max()))
        self._means.setdefault("mean refinement error, px", []).append(float(apart_px.mean()))

    def _ties(self, outputs: Outputs, features: Features) -> NDArray[np.bool_]:
        """Which keypoints hang on rounding: near the threshold, or with a rival of nearly the same score close by."""
        heatmap = heatmap_of(outputs)
        radius = self.decode.nms_radius_px
        padded = np.pad(heatmap, 2 * radius)
        window = np.lib.stride_tricks.sliding_window_view(padded, (4 * radius + 1, 4 * radius + 1))
        x, y = features.keypoints.astype(int).T.reshape(2, -1)
        # Twice the radius: a rival may itself have been kept or lost by a tie with its own neighbour.
        rivals = np.abs(window[y, x] / features.scores[:, None, None] - 1) <= self.tie
        rivals[:, 2 * radius, 2 * radius] = False
        near_threshold = np.abs(features.scores / max(self.decode.threshold, 1e-12) - 1) <= self.tie
        return np.asarray(near_threshold | rivals.any(axis=(1, 2)), np.bool_)

    def _raise(self, name: str, value: float) -> None:
        self._largest[name] = max(self._largest.get(name, 0.0), value)

    def _lower(self, name: str, value: float) -> None:
        self._smallest[name] = min(self._smallest.get(name, np.inf), value)

    def _count(self, name: str, part: int, whole: int) -> None:
        self._counts[name] = self._counts.get(name, np.zeros(2, np.int64)) + np.array([part, whole])


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
