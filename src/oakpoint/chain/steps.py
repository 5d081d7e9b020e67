"""The steps of a conversion, as a list: what each needs, makes, and is judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oakpoint.bundle.records import ArtifactKind, StageReport
from oakpoint.chain.make_archive import make_archive
from oakpoint.chain.make_blob import judge_blob, judge_device_graph, make_blob, make_device_graph, measure_heads
from oakpoint.chain.make_fused import judge_fused, make_fused
from oakpoint.chain.make_int8 import judge_int8, make_int8
from oakpoint.chain.make_ir import judge_ir, make_ir
from oakpoint.chain.make_onnx import judge_onnx, make_onnx
from oakpoint.chain.make_onnx_archive import judge_onnx_archive, make_onnx_archive
from oakpoint.chain.make_split import make_split
from oakpoint.chain.make_superblob import judge_superblob, make_superblob
from oakpoint.chain.making import Making
from oakpoint.chain.options import ConversionOptions, Target
from oakpoint.verify.superblob import SUPERBLOB_STAGE
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    DEVICE_STAGE,
    FUSED_STAGE,
    INT8_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a conversion.

    Attributes:
        name: as the listener hears it.
        needs: what has to be there, and falls with it.
        makes: artefacts that come of it; of a step that only prepares another, none.
        wanted: whether the options ask for it.
        make: does it, and says in a few words how; empty where there was nothing to do.
        stage: which comparison judges it; empty without one.
        judge: compares; None where there is nothing to compare with, in this conversion or at all.
    """

    name: str
    needs: tuple[str, ...] = ()
    makes: tuple[ArtifactKind, ...] = ()
    wanted: Callable[[ConversionOptions], bool]
    make: Callable[[Making], str]
    stage: str = ""
    judge: Callable[[Making], StageReport] | None = None


def _reaching(*targets: Target) -> Callable[[ConversionOptions], bool]:
    return lambda options: any(options.reaches(target) for target in targets)


STEPS: tuple[Step, ...] = (
    Step(
        name="onnx",
        makes=("onnx",),
        wanted=_reaching("onnx"),
        make=make_onnx,
        stage=ONNX_STAGE,
        judge=judge_onnx,
    ),
    Step(
        name="ir",
        needs=("onnx",),
        makes=("ir",),
        wanted=_reaching("ir"),
        make=make_ir,
        stage=IR_STAGE,
        judge=judge_ir,
    ),
    Step(name="heads", needs=("onnx",), wanted=_reaching("blob", "onnx-archive"), make=measure_heads),
    Step(
        name="onnx archive",
        needs=("onnx", "heads"),
        makes=("onnx_archive",),
        wanted=_reaching("onnx-archive"),
        make=make_onnx_archive,
        stage=ONNX_ARCHIVE_STAGE,
        judge=judge_onnx_archive,
    ),
    Step(
        name="split",
        needs=("onnx", "heads"),
        makes=("device_part", "host_tail"),
        wanted=lambda options: bool(options.split) and options.reaches("blob"),
        make=make_split,
    ),
    Step(
        name="device graph",
        needs=("onnx", "heads"),
        wanted=_reaching("blob"),
        make=make_device_graph,
        stage=DEVICE_STAGE,
        judge=judge_device_graph,
    ),
    Step(
        name="blob",
        needs=("onnx", "heads", "device graph"),
        makes=("blob", "oak_json", "stage_map"),
        wanted=_reaching("blob"),
        make=make_blob,
        stage=BLOB_STAGE,
        judge=judge_blob,
    ),
    Step(name="archive", needs=("blob",), makes=("archive",), wanted=_reaching("archive"), make=make_archive),
    Step(
        name="superblob",
        needs=("blob",),
        makes=("superblob",),
        wanted=lambda options: options.superblob,
        make=make_superblob,
        stage=SUPERBLOB_STAGE,
        judge=judge_superblob,
    ),
    Step(
        name="decoding graph",
        needs=("onnx",),
        makes=("fused",),
        wanted=lambda options: options.fused,
        make=make_fused,
        stage=FUSED_STAGE,
        judge=judge_fused,
    ),
    Step(
        name="int8",
        needs=("onnx",),
        makes=("ir_int8",),
        wanted=lambda options: options.int8,
        make=make_int8,
        stage=INT8_STAGE,
        judge=judge_int8,
    ),
)
"""In the order in which they are done. The superblob is compiled anew, but of the network whose blob is judged.
The decoding graph and INT8 come last: a network that has none, or that NNCF refuses, has everything else by then."""


def made_with(step: Step, options: ConversionOptions) -> Step:
    """The step that makes something of what this one prepares, in a conversion with these options."""
    return next(later for later in STEPS if step.name in later.needs and later.makes and later.wanted(options))
