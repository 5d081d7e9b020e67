"""What a tolerance is, the stages that are judged, and what a pass of each means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A limit for one figure.

    Attributes:
        figure: name of the figure, see ``comparison.Comparison.figures``.
        kind: whether the figure has to be at least or at most the limit.
        limit: the limit.
        reason: where the limit comes from.
        usual: the figure that tells the usual error, for a largest one: up to ``rounding.STANDS_OUT`` times that is
            rounding as well, however small the limit. The usual error has a limit of its own.
        counted: the figure that counts what this one is about: with less than ``from_count`` of it, it means
            nothing, and gives no verdict.
        from_count: see ``counted``.
        may_be_absent: whether a figure that is not a number is left out, since not every model has what it is about;
            others fail then. A figure that was not even tried always fails.
    """

    figure: str
    kind: Literal["at_least", "at_most"]
    limit: float
    reason: str
    usual: str = ""
    counted: str = ""
    from_count: int = 0
    may_be_absent: bool = False


def at_least(figure: str, limit: float, reason: str, **further: Any) -> Tolerance:
    """A lower limit."""
    return Tolerance(figure, "at_least", limit, reason, **further)


def at_most(figure: str, limit: float, reason: str, **further: Any) -> Tolerance:
    """An upper limit."""
    return Tolerance(figure, "at_most", limit, reason, **further)


FINITE = "values that are not finite"
ALL_FINITE = at_most(FINITE, 0, "the reference is finite there")

ONNX_STAGE = "torch → onnx"
IR_STAGE = "onnx → ir"
DEVICE_STAGE = "onnx → device graph"
BLOB_STAGE = "onnx → blob"
ONNX_ARCHIVE_STAGE = "onnx → onnx archive"
CAMERA_STAGE = "simulator → camera"
INT8_STAGE = "onnx → int8"
FUSED_STAGE = "onnx → decoding graph"

BLOB_CLAIM = (
    "The compiled blob was executed on this machine: every tile, halo, copy, address, constant and conversion, to FP16 "
    "rounding with an assumed FP32 accumulator. Not shown: the chip's own bits, its timing, its firmware."
)
"""What a passed blob stage means, and what it does not."""

ONNX_ARCHIVE_CLAIM = (
    "The ONNX was taken out of the archive and run on this machine, its images made as the archive's config.json says. "
    "Not shown: what a converter makes of it, or a later camera (RVC4); neither was here."
)
"""What a passed archive stage means, and what it does not."""

CAMERA_CLAIM = (
    "The camera's network ran on frames sent from this machine; its outputs are those of the executed blob within FP16 "
    "rounding. Not shown: sensor, lens and the camera's own scaling of frames."
)
"""What a passed comparison with a camera means, and what it does not."""

INT8_CLAIM = (
    "The INT8 IR was run on this machine's CPU, on images that did not calibrate it. It is for Intel CPUs with VNNI or "
    "AMX, GPUs and NPUs; a Myriad X computes in FP16 and gains nothing by it. Not shown: its speed, and what those "
    "devices round otherwise; oakpoint eval measures both there."
)
"""What a passed INT8 stage means, and what it does not."""

FUSED_CLAIM = (
    "The decoding graph was run in ONNX Runtime on this machine, on levels of the images, and finds what the ONNX and "
    "decoding in NumPy find. Not shown: other runtimes, and other sizes and options of decoding, which are part of it."
)
"""What a passed stage of the decoding graph means, and what it does not."""

STAGE_TOLERANCES: dict[str, tuple[Tolerance, ...]] = {
    ONNX_STAGE: (
        ALL_FINITE,
        at_least(
            "weights bit for bit",
            1.0,
            "the exporter copies weights, but for batch norms that it folds in",
            may_be_absent=True,
        ),
    ),
    IR_STAGE: (
        ALL_FINITE,
        at_least(
            "weights rounded to FP16",
            1.0,
            "the IR holds each constant rounded once, and nothing else",
            may_be_absent=True,
        ),
    ),
    BLOB_STAGE: (
        ALL_FINITE,
        at_least(
            "constants as in the device graph",
            1.0,
            "the compiler arranges weights and multiplies them by powers of two",
            may_be_absent=True,
        ),
    ),
    DEVICE_STAGE: (ALL_FINITE,),
    ONNX_ARCHIVE_STAGE: (ALL_FINITE,),
    CAMERA_STAGE: (ALL_FINITE,),
    INT8_STAGE: (ALL_FINITE,),
    FUSED_STAGE: (ALL_FINITE,),
}
"""Limits whatever the task; a comparison adds its own."""
