"""The tolerances of every stage, in one table, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A limit for one figure.

    Attributes:
        figure: name of the figure in ``compare.Agreement.figures``.
        kind: whether the figure has to be at least or at most the limit.
        limit: the limit.
        reason: where the limit comes from.
        may_be_absent: whether a figure that was measured and is not a number is left out; others fail then.
    """

    figure: str
    kind: Literal["at_least", "at_most"]
    limit: float
    reason: str
    may_be_absent: bool = False


def _at_least(figure: str, limit: float, reason: str, *, may_be_absent: bool = False) -> Tolerance:
    return Tolerance(figure, "at_least", limit, reason, may_be_absent)


def _at_most(figure: str, limit: float, reason: str) -> Tolerance:
    return Tolerance(figure, "at_most", limit, reason)


ONNX_STAGE = "torch → onnx"
IR_STAGE = "onnx → ir"
BLOB_STAGE = "onnx → blob"
CAMERA_STAGE = "simulator → camera"

BLOB_CLAIM = (
    "The compiled blob was executed on this machine: every tile, halo, copy, address, constant and conversion, to FP16 "
    "rounding with an assumed FP32 accumulator. Not shown: the chip's own bits, its timing, its firmware."
)
"""What a passed blob stage means, and what it does not."""

CAMERA_CLAIM = (
    "The camera's network ran on frames sent from this machine; its outputs are those of the executed blob within FP16 "
    "rounding. Not shown: sensor, lens and the camera's own scaling of frames."
)
"""What a passed comparison with a camera means, and what it does not."""

TIE = {ONNX_STAGE: 2e-5, IR_STAGE: 0.1, BLOB_STAGE: 0.1, CAMERA_STAGE: 0.1}
"""Two scores that differ by less than this, as a share of the larger, may change places across a stage.

A keypoint is a tie when its score is that near to the threshold, or to the score of another within the NMS radius: what
is kept then hangs on rounding. Measured on SuperPoint v1 at 320×200 over the photographs in scikit-image's
wheel: float32 sums in another order move a score by some 1e-6 of itself; a first convolution rounded to FP16 moves 99 %
of the scores by less than 4e-2 of themselves, and the worst by 0.14.
"""

CONSTANTS_OF_BLOB = _at_least(
    "constants as in the device graph",
    1.0,
    "the compiler arranges weights and multiplies them by powers of two",
    may_be_absent=True,
)
"""Of the stage ``BLOB_STAGE``, beside those below: a camera, which is held to the same, shows no constants."""

TOLERANCES: dict[str, tuple[Tolerance, ...]] = {
    ONNX_STAGE: (
        _at_least(
            "weights bit for bit",
            1.0,
            "the exporter copies weights, but for batch norms that it folds in",
            may_be_absent=True,
        ),
        _at_most("largest logit error, relative", 1e-4, "float32 sums of up to 1152 products in another order"),
        _at_least("keypoints in common at 0 px, ties aside", 1.0, "the same float32 arithmetic in another order"),
        _at_least("keypoints in common at 0 px", 0.995, "ties are rare at float32; many of them would hide a fault"),
        _at_least("smallest descriptor cosine", 0.99999, "as for the logits"),
        _at_least(
            "matches in common, ties aside", 0.98, "follow from keypoints and descriptors; near ties change partners"
        ),
    ),
    IR_STAGE: (
        _at_least(
            "weights rounded to FP16",
            1.0,
            "the IR holds each constant rounded once, and nothing else",
            may_be_absent=True,
        ),
        _at_most("largest logit error, relative", 1e-2, "measured 3.7e-3 on SuperPoint v1; a fault is of order 1"),
        _at_least("keypoints in common at 0 px", 0.99, "weights rounded to FP16 have 11 bits of significand"),
        _at_least("keypoints in common at 1 px, ties aside", 1.0, "rounding moves a maximum to a neighbour at most"),
        _at_least("mean descriptor cosine", 0.9999, "0.8°; measured 0.999997"),
        _at_least("smallest descriptor cosine", 0.999, "2.6° for the worst one; measured 0.99981, 1.1°"),
        _at_least(
            "matches in common, ties aside", 0.97, "follow from keypoints and descriptors; near ties change partners"
        ),
    ),
    BLOB_STAGE: (
        _at_most("largest descriptor error, relative", 1e-2, "FP16 activations; measured 1e-3 on SuperPoint v1"),
        _at_most("largest heat-map error", 2e-2, "FP16 activations; measured 2.4e-3 on SuperPoint v1"),
        _at_least("keypoints in common at 0 px", 0.98, "FP16 activations; measured 0.997"),
        _at_least("keypoints in common at 1 px, ties aside", 1.0, "rounding moves a maximum to a neighbour at most"),
        _at_least("mean descriptor cosine", 0.99999, "measured 0.9999998"),
        _at_least("smallest descriptor cosine", 0.9999, "measured 0.999997"),
        _at_least("matches in common, ties aside", 0.97, "follow from the above; measured 0.9955"),
    ),
}

PACKED_BLOB_TOLERANCES = (
    _at_most("largest descriptor error, relative", 2e-2, "8 bits: half of 1/127 of a cell's largest value, and FP16"),
    _at_most("largest heat-map error", 4e-2, "8 bits on a logarithmic scale: 1.4 % of a probability, and FP16"),
    _at_least(
        "keypoints in common at 0 px",
        0.93,
        "neighbours within 2.8 % of each other come out equal; measured 0.984 on SuperPoint v1, 0.959 on acorn, whose "
        "maxima are flatter",
    ),
    _at_least(
        "keypoints in common at 1 px, ties aside", 0.998, "a tie that falls the other way frees or loses its neighbours"
    ),
    _at_least("mean descriptor cosine", 0.9999, "8 bits"),
    _at_least("smallest descriptor cosine", 0.999, "8 bits"),
    _at_least("matches in common, ties aside", 0.86, "a match needs a keypoint in both images: 0.93 of 0.93"),
)
"""Of the stage ``BLOB_STAGE``, for the heads ``packed``: 8 bits in place of FP16's 11, and half the bytes."""


def _of_camera(tolerances: tuple[Tolerance, ...]) -> tuple[Tolerance, ...]:
    """Those of the blob, for the camera."""
    reason = "as for the blob: sums of FP16 products in another order; no camera was measured yet"
    return tuple(replace(tolerance, reason=reason) for tolerance in tolerances)


TOLERANCES[CAMERA_STAGE] = _of_camera(TOLERANCES[BLOB_STAGE])


def _instead(tolerances: tuple[Tolerance, ...], changed: Tolerance) -> tuple[Tolerance, ...]:
    """The same tolerances but for one figure."""
    return tuple(changed if tolerance.figure == changed.figure else tolerance for tolerance in tolerances)


REDUCED_BLOB_TOLERANCES = _instead(
    TOLERANCES[BLOB_STAGE],
    _at_least("mean descriptor cosine", 0.99995, "the projection leaves each cell of the conversion's images as much"),
)
"""Of the stage ``BLOB_STAGE``, for the heads ``reduced``: what the projection may lose comes on top of FP16."""

NORMALISED_BLOB_TOLERANCES = _instead(
    TOLERANCES[BLOB_STAGE],
    _at_most(
        "largest descriptor error, relative",
        3e-2,
        "a short descriptor's rounding grows as it is brought to unit length; measured 1.2e-2 on acorn",
    ),
)
"""Of the stage ``BLOB_STAGE``, for the heads ``normalised``."""

BLOB_TOLERANCES_BY_HEADS = {
    "packed": PACKED_BLOB_TOLERANCES,
    "reduced": REDUCED_BLOB_TOLERANCES,
    "normalised": NORMALISED_BLOB_TOLERANCES,
}
"""In place of those of ``BLOB_STAGE``; other heads have those."""

_BY_HEADS = {
    BLOB_STAGE: BLOB_TOLERANCES_BY_HEADS,
    CAMERA_STAGE: {heads: _of_camera(tolerances) for heads, tolerances in BLOB_TOLERANCES_BY_HEADS.items()},
}


def tolerances_of(stage: str, heads: str) -> tuple[Tolerance, ...]:
    """The limits of a stage whose candidate puts out these heads.

    Args:
        stage: a key of ``TOLERANCES``.
        heads: name of the heads.
    """
    return _BY_HEADS.get(stage, {}).get(heads, TOLERANCES[stage])
