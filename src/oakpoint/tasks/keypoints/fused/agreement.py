"""How far what a decoding graph finds agrees with what the network and decoding in NumPy find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError
from oakpoint.features.decode import decode, heatmap_of
from oakpoint.features.refinement import refined_keypoints
from oakpoint.features.types import Features
from oakpoint.tasks.keypoints.agreement import LOOK_FOR, nearest_pairs
from oakpoint.tasks.keypoints.certainty import certainty_of
from oakpoint.tasks.keypoints.fused.running import features_found
from oakpoint.tasks.keypoints.scores import KEPT_FROM
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.keypoints.tolerances import COMPARED, IN_ORDER, SAME_PLACE_PX, SCORE_FLOOR, TOLERANCES
from oakpoint.verify.comparison import Comparison
from oakpoint.verify.rounding import STANDS_OUT, ErrorSizes, usual_of
from oakpoint.verify.tolerances import FUSED_STAGE, Tolerance


@dataclass(frozen=True, slots=True)
class Found:
    """What one side found in one image.

    Attributes:
        features: in pixels of the network's input.
        heatmap: float32 (H, W), probabilities in [0, 1]; None of the graph, which does not give it.
    """

    features: Features
    heatmap: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where keypoints may be, by the reference's scores and an error of theirs.

    Attributes:
        points: float32 (P, 2), after refinement, in pixels of the network's input.
        certain: bool (P,), those that are there whatever the true scores are.
    """

    points: NDArray[np.float32]
    certain: NDArray[np.bool_]


@final
@dataclass(slots=True)
class FoundAgreement(Comparison[Found]):
    """Figures of the agreement, gathered over images.

    The graph gives no heat map, so that the error of its scores is that of the keypoints which both sides found. Where
    an error of that size can turn a decision (NMS, threshold, the limit on their number), the keypoint is a tie; every
    other one of the reference's has to be there, in its place to ``SAME_PLACE_PX``, and no further one.

    Attributes:
        task: how outputs become keypoints, on both sides.
        size: (W, H) of the network's input in pixels.
        images: how many were compared.
        keypoints: how many of them both sides could have in common.
    """

    task: Keypoints
    size: tuple[int, int]
    images: int = 0
    keypoints: int = 0
    _common: int = 0
    _whole: int = 0
    _ties: int = 0
    _unexplained: int = 0
    _out_of_order: int = 0
    _scores: list[NDArray[np.float64]] = field(default_factory=list)
    _apart_px: list[NDArray[np.float64]] = field(default_factory=list)
    _cosines: list[NDArray[np.float32]] = field(default_factory=list)
    _descriptors: ErrorSizes = field(default_factory=ErrorSizes)

    def reference(self, tensors: Tensors) -> Found:
        """See ``Comparison.reference``: the network's own outputs."""
        outputs = self.task.outputs(tensors)
        return Found(decode(outputs, self.task.decode), heatmap_of(outputs))

    def candidate(self, tensors: Tensors) -> Found:
        """See ``Comparison.candidate``: what the graph gives."""
        return Found(features_found(tensors, self.size))

    def add(self, expected: Sequence[Found], got: Sequence[Found]) -> None:
        """See ``Comparison.add``."""
        for reference, candidate in zip(expected, got, strict=True):
            self._add_image(reference, candidate.features)

    def tolerances(self) -> Sequence[Tolerance]:
        """See ``Comparison.tolerances``."""
        return TOLERANCES[FUSED_STAGE]

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        return LOOK_FOR

    def why_nothing(self) -> str | None:
        """See ``Comparison.why_nothing``."""
        return None if self.keypoints else "no keypoints on either side: nothing could be compared"

    def distributions(self) -> Mapping[str, NDArray[np.floating[Any]]]:
        """See ``Comparison.distributions``."""
        return {"descriptor cosine": np.concatenate([np.zeros(0, np.float32), *self._cosines])}

    def success(self, figures: Mapping[str, float]) -> str:
        """See ``Comparison.success``."""
        return (
            f"{self.keypoints} keypoints on {self.images} images, {figures['keypoints in common']:.2%} in common "
            f"({figures['keypoints that hang on rounding']:.1%} hang on rounding), up to "
            f"{figures['largest distance, px']:.1g} px apart, descriptor cosine {figures['mean descriptor cosine']:.6f}"
        )

    def figures(self) -> dict[str, float]:
        """See ``Comparison.figures``."""
        apart_px, cosines, scores = (
            np.concatenate([np.zeros(0), *gathered]) for gathered in (self._apart_px, self._cosines, self._scores)
        )
        found = {
            COMPARED: float(self.keypoints),
            "keypoints in common": self._common / self._whole if self._whole else float("nan"),
            "keypoints that hang on rounding": self._ties / self._whole if self._whole else float("nan"),
            "keypoints that rounding does not explain": float(self._unexplained),
            IN_ORDER: float(self._out_of_order),
            "largest distance, px": float(apart_px.max(initial=0.0)),
            "largest score error": float(scores.max(initial=0.0)),
            "usual score error": usual_of(scores),
            "mean descriptor cosine": float(cosines.mean()) if len(cosines) else float("nan"),
            "smallest descriptor cosine": float(cosines.min()) if len(cosines) else float("nan"),
        }
        errors = self._descriptors.relative()
        return found | {f"{size} descriptor error, relative": value for size, value in errors.items()}

    def _add_image(self, reference: Found, got: Features) -> None:
        expected = reference.features
        if expected.descriptors.shape[1] != got.descriptors.shape[1]:
            lengths = expected.descriptors.shape[1], got.descriptors.shape[1]
            raise BackendError(f"descriptors: expected a length of {lengths[0]}, got {lengths[1]}")
        self.images += 1
        self.keypoints += min(len(expected), len(got))
        self._whole += max(len(expected), len(got))
        self._out_of_order += int((np.diff(got.scores) > 0).sum())
        same = nearest_pairs(expected.keypoints, got.keypoints, SAME_PLACE_PX)
        self._common += len(same)
        errors = self._add_common(expected.subset(same[:, 0]), got.subset(same[:, 1]))
        error = min(max(STANDS_OUT * usual_of(errors), SCORE_FLOOR[FUSED_STAGE]), -float(np.log(KEPT_FROM)))
        assert reference.heatmap is not None
        places = places_of(reference.heatmap, error, self.task)
        there = nearest_pairs(places.points, got.keypoints, SAME_PLACE_PX)
        missing = int(places.certain.sum()) - int(places.certain[there[:, 0]].sum())
        limit = self.task.decode.max_keypoints
        too_many = 0 if limit is None else max(len(got) - limit, 0)
        self._unexplained += missing + max(len(got) - len(there), too_many)
        self._ties += int((~places.certain[there[:, 0]]).sum())

    def _add_common(self, expected: Features, got: Features) -> NDArray[np.float64]:
        """Take keypoints that both found; the errors of their scores' logarithms."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = (np.log(np.maximum(side.scores, 0), dtype=np.float64) for side in (expected, got))
            errors = np.nan_to_num(np.abs(np.subtract(*logarithms)), nan=np.inf)
        self._scores.append(errors)
        self._apart_px.append(np.hypot(*(expected.keypoints - got.keypoints).T.astype(np.float64)))
        self._descriptors.add(expected.descriptors.T, got.descriptors.T)
        described = expected.descriptors.any(axis=1) | got.descriptors.any(axis=1)
        cosines = np.einsum("nd,nd->n", expected.descriptors[described], got.descriptors[described])
        self._cosines.append(np.nan_to_num(cosines, nan=-1.0))
        return errors


def places_of(heatmap: NDArray[np.float32], error: float, task: Keypoints) -> Places:
    """Where keypoints may be and where they have to be, for scores within a factor of exp(±error).

    As ``certainty_of``, with the limit on their number: of places that are certain without it, those are certain which
    fewer others than the limit can beat; and those are possible which fewer others than the limit surely beat.

    Args:
        heatmap: float32 (H, W), probabilities in [0, 1], finite.
        error: largest difference of the scores' natural logarithms, 0 or more.
        task: how it is decoded.
    """
    options = task.decode
    certainty = certainty_of(heatmap, error, options)
    rows, columns = np.nonzero(certainty.possible)
    certain = certainty.kept[rows, columns]
    if (limit := options.max_keypoints) is not None:
        scores = heatmap[rows, columns].astype(np.float64)
        low, high = scores * np.exp(-error), scores * np.exp(error)
        can_beat = len(high) - np.searchsorted(np.sort(high), low, side="left") - 1
        surely_beat = int(certain.sum()) - np.searchsorted(np.sort(low[certain]), high, side="right")
        possible, certain = surely_beat < limit, certain & (can_beat < limit)
        rows, columns, certain = rows[possible], columns[possible], certain[possible]
    maxima = np.stack([columns, rows], axis=1).astype(np.int64)
    return Places(refined_keypoints(heatmap, maxima, options.subpixel), certain)
