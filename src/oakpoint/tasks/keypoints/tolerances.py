"""The tolerances of every stage for keypoint networks, in one table, each with its reason."""

from __future__ import annotations

from dataclasses import replace

from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    CAMERA_STAGE,
    DEVICE_STAGE,
    FUSED_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
    Tolerance,
    at_least,
    at_most,
)

COMPARED = "keypoints compared"
"""The figure that counts what both sides could have in common."""


def _errors(tensor: str, *, largest: float, mean_square: float, reason: str) -> tuple[Tolerance, Tolerance]:
    """Limits on a raw tensor's errors, as shares of its largest value and of its root mean square."""
    may_be_absent = tensor == "logit"  # heads with the softmax inside have none
    return (
        at_most(f"root mean square {tensor} error, relative", mean_square, reason, may_be_absent=may_be_absent),
        at_most(
            f"largest {tensor} error, relative",
            largest,
            "a fault is of order 1",
            usual=f"usual {tensor} error, relative",
            may_be_absent=may_be_absent,
        ),
    )


def _scores(stage: str, usual: float, reason: str) -> tuple[Tolerance, ...]:
    return (
        at_most("usual score error", usual, reason),
        at_most("largest score error", SCORE_FLOOR[stage], "as for the raw tensors", usual="usual score error"),
        at_most("keypoints that rounding does not explain", 0, "decoding is the same function on both sides"),
    )


SCORE_FLOOR = {
    ONNX_STAGE: 1e-3,
    ONNX_ARCHIVE_STAGE: 1e-3,
    FUSED_STAGE: 1e-3,
    IR_STAGE: 0.02,
    DEVICE_STAGE: 0.03,
    BLOB_STAGE: 0.03,
    CAMERA_STAGE: 0.03,
}
"""An error of a score's logarithm of up to this is rounding's, however small the usual error is on the images.

Float32 sums in another order move a logit by some 1e-6 of its size, and a score by as much (measured 4.4e-4 on
EdgePoint2, whose logits go to hundreds), FP16 has steps of 1e-3 of a value, and heads of 8
bits have levels 0.0273 apart (``features.packed``).
"""

ENOUGH = 20
"""Keypoints from which on a mean over them says something."""

_IN_FLOAT32 = (
    "float32 sums of up to 1152 products in another order: 1e-6; an instance norm on a nearly flat image divides by "
    "next to nothing, measured 2.7e-4"
)
_IN_FP16 = "weights rounded to FP16, 2^-12 of themselves, through some ten layers; measured 5e-3 on SuperPoint v1"
_ON_DEVICE = "FP16 weights and activations; measured 2e-3 on acorn, and 7e-3 where heads pack values into 8 bits"

TOLERANCES: dict[str, tuple[Tolerance, ...]] = {
    ONNX_STAGE: (
        *_errors("logit", largest=1e-4, mean_square=1e-3, reason=_IN_FLOAT32),
        *_errors("descriptor", largest=1e-4, mean_square=1e-3, reason=_IN_FLOAT32),
        *_scores(ONNX_STAGE, 1e-2, "a score's logarithm is off by what its cell's logits are off; measured 3e-5"),
        at_least("mean descriptor cosine", 0.99999, "as for the raw tensors", counted=COMPARED, from_count=ENOUGH),
    ),
    IR_STAGE: (
        *_errors("logit", largest=1e-2, mean_square=1.5e-2, reason=_IN_FP16),
        *_errors("descriptor", largest=1e-2, mean_square=3e-2, reason=_IN_FP16),
        *_scores(IR_STAGE, 0.2, "a score's logarithm is off by what its cell's logits are off; measured 0.04"),
        at_least("mean descriptor cosine", 0.9999, "0.8°; measured 0.999997", counted=COMPARED, from_count=ENOUGH),
    ),
    BLOB_STAGE: (
        *_errors("logit", largest=1e-2, mean_square=1.5e-2, reason=_ON_DEVICE),
        *_errors("descriptor", largest=1e-2, mean_square=3e-2, reason=_ON_DEVICE),
        *_scores(
            BLOB_STAGE,
            0.25,
            "a score's logarithm is off by what its logit is off: measured 0.01 on SuperPoint, 0.12 on EdgePoint2, "
            "whose logits are large; 8 bits on a logarithmic scale are off by up to 0.014",
        ),
        at_least("mean descriptor cosine", 0.9999, "0.8°; measured 0.9999998", counted=COMPARED, from_count=ENOUGH),
    ),
}
"""Whatever heads a blob has: the limits are on what comes out of them, as values and keypoints."""

TOLERANCES[CAMERA_STAGE] = tuple(
    replace(tolerance, reason="as for the blob: sums of FP16 products in another order; no camera was measured yet")
    for tolerance in TOLERANCES[BLOB_STAGE]
)

TOLERANCES[ONNX_ARCHIVE_STAGE] = tuple(
    replace(tolerance, reason="the same model in the same runtime; its images are the same to float32's last bit")
    for tolerance in TOLERANCES[ONNX_STAGE]
)

IN_ORDER = "keypoints out of order"
"""The figure that counts keypoints with a better score than the one before them."""

SAME_PLACE_PX = 0.01
"""Keypoints of two sides that are less apart lie in the same place: scores that are off by 1e-3, as much as rounding is
allowed (``SCORE_FLOOR``), move the mean of the 5×5 pixels around a maximum by up to 4e-3 px; the rest is float32."""

TOLERANCES[FUSED_STAGE] = (
    *_errors(
        "descriptor", largest=1e-3, mean_square=1e-3, reason="the same network in the same runtime, sampled in float32"
    ),
    *_scores(FUSED_STAGE, 1e-3, "the same network in the same runtime; softmax in float32: measured 4e-6"),
    at_most(IN_ORDER, 0, "a graph gives the best first"),
    at_least("mean descriptor cosine", 0.99999, "as for their values", counted=COMPARED, from_count=ENOUGH),
)

TOLERANCES[DEVICE_STAGE] = tuple(
    replace(tolerance, reason="as for the blob, of which it has the constants and the heads, and not the arithmetic")
    for tolerance in TOLERANCES[BLOB_STAGE]
)
