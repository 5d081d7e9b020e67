"""The tolerances of every stage for detectors, in one table, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    CAMERA_STAGE,
    DEVICE_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
    Tolerance,
    at_most,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one stage.

    Attributes:
        usual_score: of the error of a score's logit that one in a hundred exceeds.
        score_floor: an error of a logit up to this is rounding's, however small the usual one is.
        usual_place: of the farthest coordinate of a box, as a share of its longer side and a cell, likewise.
        place_floor: likewise.
        reason: where they come from.
    """

    usual_score: float
    score_floor: float
    usual_place: float
    place_floor: float
    reason: str


_IN_FLOAT32 = "float32 sums in another order"
_IN_FP16 = "weights rounded to FP16; measured 0.012 of a logit and 0.002 of a place on YOLOv8n and small detectors"
_ON_DEVICE = (
    "FP16 weights and activations, a coordinate from 512 px on has steps of 0.5 px; measured 0.01 of a logit and 0.002 "
    "of a place on YOLOv8n and small detectors"
)

LIMITS = {
    ONNX_STAGE: Limits(1e-2, 1e-3, 1e-3, 1e-3, _IN_FLOAT32),
    ONNX_ARCHIVE_STAGE: Limits(1e-2, 1e-3, 1e-3, 1e-3, _IN_FLOAT32),
    IR_STAGE: Limits(0.1, 0.02, 0.02, 0.02, _IN_FP16),
    DEVICE_STAGE: Limits(0.1, 0.02, 0.02, 0.02, _IN_FP16),
    BLOB_STAGE: Limits(0.1, 0.05, 0.05, 0.05, _ON_DEVICE),
    CAMERA_STAGE: Limits(0.1, 0.05, 0.05, 0.05, _ON_DEVICE),
}

USUAL_SCORE, LARGEST_SCORE = "usual score error", "largest score error"
USUAL_PLACE, LARGEST_PLACE = "usual place error", "largest place error"
UNEXPLAINED = "boxes that rounding does not explain"


def tolerances(stage: str) -> Sequence[Tolerance]:
    """The limits of a stage."""
    limits = LIMITS[stage]
    return (
        at_most(USUAL_SCORE, limits.usual_score, limits.reason),
        at_most(LARGEST_SCORE, limits.score_floor, "a fault is of order 1", usual=USUAL_SCORE),
        at_most(USUAL_PLACE, limits.usual_place, limits.reason),
        at_most(LARGEST_PLACE, limits.place_floor, "a fault is of order 1", usual=USUAL_PLACE),
        at_most(UNEXPLAINED, 0, "suppression is the same function on both sides"),
    )
