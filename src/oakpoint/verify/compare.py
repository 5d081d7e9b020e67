"""How far two models agree on the same images: in raw tensors, and in what users use, the decoded features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.decode import decode, heatmap_of
from oakpoint.features.matching import match
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features, Outputs


@dataclass(frozen=True, slots=True)
class View:
    """What one model found in one image."""

    outputs: Outputs
    features: Features


@dataclass(slots=True)
class Agreement:
    """Figures of the agreement between a reference and a candidate, gathered over images.

    Shares are of the union: keypoints in common, divided by the larger of the two counts.
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
        """Decode the outputs of one model."""
        return View(outputs, decode(outputs, self.decode))

    def add_image(self, reference: View, candidate: View) -> None:
        """Compare two models on one image."""
        self.images += 1
        self.keypoints += min(len(reference.features), len(candidate.features))
        self._add_tensors(reference.outputs, candidate.outputs)
        self._add_keypoints(reference, candidate)

    def add_pair(self, reference: Sequence[View], candidate: Sequence[View]) -> None:
        """Compare the matches that two models find between the same two images."""
        sets = [_matched_positions(a.features, b.features) for a, b in (reference, candidate)]
        self._count("matches in common", len(sets[0] & sets[1]), max(len(sets[0]), len(sets[1])))

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
        if len(same):
            cosines = np.einsum("nd,nd->n", a.descriptors[same], b.descriptors[nearest[same]])
            self._lower("smallest descriptor cosine", float(np.nan_to_num(cosines, nan=-1.0).min()))
            self._means.setdefault("mean descriptor cosine", []).append(float(cosines.mean()))

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
    x, y = (a[:, None, axis].astype(np.float64) - b[None, :, axis] for axis in (0, 1))
    distances = np.hypot(x, y)
    nearest = distances.argmin(axis=1)
    return distances[np.arange(len(a)), nearest], nearest


def _matched_positions(a: Features, b: Features) -> set[tuple[float, ...]]:
    """The matches of two images as (x, y, x', y'), so that those of two models can be compared."""
    indices = match(a, b).indices
    return {tuple(row) for row in np.hstack([a.keypoints[indices[:, 0]], b.keypoints[indices[:, 1]]]).tolist()}
