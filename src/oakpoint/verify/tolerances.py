"""The tolerances of every stage, in one table, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A limit for one figure.

    Attributes:
        figure: name of the figure in ``compare.Agreement.figures``.
        kind: whether the figure has to be at least or at most the limit.
        limit: the limit.
        reason: where the limit comes from.
        usual: the figure that tells the usual error, for a largest one: up to ``rounding.STANDS_OUT`` times that is
            rounding as well, however small the limit. The usual error has a limit of its own.
        from_keypoints: with fewer keypoints than this the figure means nothing, and gives no verdict.
        may_be_absent: whether a figure that is not a number is left out, since not every model has what it is about;
            others fail then. A figure that was not even tried always fails.
    """

    figure: str
    kind: Literal["at_least", "at_most"]
    limit: float
    reason: str
    usual: str = ""
    from_keypoints: int = 0
    may_be_absent: bool = False


def _at_least(figure: str, limit: float, reason: str, **further: Any) -> Tolerance:
    return Tolerance(figure, "at_least", limit, reason, **further)


def _at_most(figure: str, limit: float, reason: str, **further: Any) -> Tolerance:
    return Tolerance(figure, "at_most", limit, reason, **further)


def _errors(tensor: str, *, largest: float, mean_square: float, reason: str) -> tuple[Tolerance, Tolerance]:
    """Limits on a raw tensor's errors, as shares of its largest value and of its root mean square."""
    may_be_absent = tensor == "logit"  # heads with the softmax inside have none
    return (
        _at_most(f"root mean square {tensor} error, relative", mean_square, reason, may_be_absent=may_be_absent),
        _at_most(
            f"largest {tensor} error, relative",
            largest,
            "a fault is of order 1",
            usual=f"usual {tensor} error, relative",
            may_be_absent=may_be_absent,
        ),
    )


def _scores(stage: str, usual: float, reason: str) -> tuple[Tolerance, ...]:
    return (
        _at_most("usual score error", usual, reason),
        _at_most("largest score error", SCORE_FLOOR[stage], "as for the raw tensors", usual="usual score error"),
        _at_most("keypoints that rounding does not explain", 0, "decoding is the same function on both sides"),
    )


FINITE = "values that are not finite"
_FINITE = _at_most(FINITE, 0, "the reference is finite there")

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

SCORE_FLOOR = {ONNX_STAGE: 1e-4, IR_STAGE: 0.02, BLOB_STAGE: 0.03, CAMERA_STAGE: 0.03}
"""An error of a score's logarithm of up to this is rounding's, however small the usual error is on the images.

Float32 sums in another order move a score by some 1e-6 of itself, FP16 has steps of 1e-3 of a value, and heads of 8
bits have levels 0.0273 apart (``features.packed``).
"""

ENOUGH = 20
"""Keypoints from which on a mean over them says something."""

_CONSTANTS = "constants as in the device graph"
_IN_FLOAT32 = (
    "float32 sums of up to 1152 products in another order: 1e-6; an instance norm on a nearly flat image divides by "
    "next to nothing, measured 2.7e-4"
)
_IN_FP16 = "weights rounded to FP16, 2^-12 of themselves, through some ten layers; measured 5e-3 on SuperPoint v1"
_ON_DEVICE = "FP16 weights and activations; measured 2e-3 on acorn, and 7e-3 where heads pack values into 8 bits"

TOLERANCES: dict[str, tuple[Tolerance, ...]] = {
    ONNX_STAGE: (
        _FINITE,
        _at_least(
            "weights bit for bit",
            1.0,
            "the exporter copies weights, but for batch norms that it folds in",
            may_be_absent=True,
        ),
        *_errors("logit", largest=1e-4, mean_square=1e-3, reason=_IN_FLOAT32),
        *_errors("descriptor", largest=1e-4, mean_square=1e-3, reason=_IN_FLOAT32),
        *_scores(ONNX_STAGE, 1e-2, "a score's logarithm is off by what its cell's logits are off; measured 3e-5"),
        _at_least("mean descriptor cosine", 0.99999, "as for the raw tensors", from_keypoints=ENOUGH),
    ),
    IR_STAGE: (
        _FINITE,
        _at_least(
            "weights rounded to FP16",
            1.0,
            "the IR holds each constant rounded once, and nothing else",
            may_be_absent=True,
        ),
        *_errors("logit", largest=1e-2, mean_square=1.5e-2, reason=_IN_FP16),
        *_errors("descriptor", largest=1e-2, mean_square=3e-2, reason=_IN_FP16),
        *_scores(IR_STAGE, 0.2, "a score's logarithm is off by what its cell's logits are off; measured 0.04"),
        _at_least("mean descriptor cosine", 0.9999, "0.8°; measured 0.999997", from_keypoints=ENOUGH),
    ),
    BLOB_STAGE: (
        _FINITE,
        _at_least(
            _CONSTANTS,
            1.0,
            "the compiler arranges weights and multiplies them by powers of two",
            may_be_absent=True,
        ),
        *_errors("logit", largest=1e-2, mean_square=1.5e-2, reason=_ON_DEVICE),
        *_errors("descriptor", largest=1e-2, mean_square=3e-2, reason=_ON_DEVICE),
        *_scores(
            BLOB_STAGE, 0.1, "as for the logits, measured 0.01; 8 bits on a logarithmic scale are off by up to 0.014"
        ),
        _at_least("mean descriptor cosine", 0.9999, "0.8°; measured 0.9999998", from_keypoints=ENOUGH),
    ),
}
"""Whatever heads a blob has: the limits are on what comes out of them, as values and keypoints."""

TOLERANCES[CAMERA_STAGE] = tuple(
    replace(tolerance, reason="as for the blob: sums of FP16 products in another order; no camera was measured yet")
    for tolerance in TOLERANCES[BLOB_STAGE]
    if tolerance.figure != _CONSTANTS  # a camera shows none
)
