"""What is kept of a conversion that failed: everything that was verified, or follows from what was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from oakpoint.bundle.folder import is_bundle
from oakpoint.bundle.manifest import MANIFEST_FILE, read_manifest
from oakpoint.bundle.records import Artifact, ArtifactKind, StageReport, Verdict
from oakpoint.chain.options import ConversionOptions, Target
from oakpoint.verify.superblob import SUPERBLOB_STAGE
from oakpoint.verify.tolerances import BLOB_STAGE, IR_STAGE, ONNX_STAGE

Stage = Target | Literal["superblob"]

STAGES: tuple[Stage, ...] = ("onnx", "ir", "blob", "archive", "superblob")
"""In the order in which they are made."""

_KINDS: dict[Stage, tuple[ArtifactKind, ...]] = {
    "onnx": ("onnx",),
    "ir": ("ir",),
    "blob": ("blob", "oak_json"),
    "archive": ("archive",),
    "superblob": ("superblob",),
}
_JUDGED: dict[str, Stage] = {ONNX_STAGE: "onnx", IR_STAGE: "ir", BLOB_STAGE: "blob", SUPERBLOB_STAGE: "superblob"}
_PARENT: dict[Stage, Stage] = {"ir": "onnx", "blob": "onnx", "archive": "blob", "superblob": "blob"}
"""What a stage stands and falls with. The superblob is compiled anew, but of the network whose blob failed."""


def left_out(
    reports: Iterable[StageReport], options: ConversionOptions, broken: tuple[Stage, str] | None
) -> dict[str, str]:
    """The artefacts that are not kept, and why.

    Args:
        reports: the verdicts.
        options: what was asked for.
        broken: the stage that could not be made, and the reason; None where all were made.

    Returns:
        Artefact kind → reason. What failed its verification is left out with all that was made from it; the stage that
        could not be made, and those after it, are missing.
    """
    why: dict[Stage, str] = {}
    for report in reports:
        if report.verdict is Verdict.FAIL:
            why[_JUDGED[report.stage]] = f"it failed its verification: {report.summary}"
    if broken is not None:
        stage, reason = broken
        why[stage] = reason
        for later in STAGES[STAGES.index(stage) + 1 :]:
            if _was_asked_for(later, options):
                why.setdefault(later, f"not tried, since the {stage} could not be made")
    for stage in STAGES:  # parents come first
        parent = _PARENT.get(stage)
        if parent in why and _was_asked_for(stage, options):
            why.setdefault(stage, f"it is made from the {parent}, which is left out")
    return {kind: reason for stage, reason in why.items() for kind in _KINDS[stage]}


def _was_asked_for(stage: Stage, options: ConversionOptions) -> bool:
    return options.superblob if stage == "superblob" else options.reaches(stage)


def something_verified(kept: Sequence[Artifact], reports: Iterable[StageReport]) -> bool:
    """Whether one of the artefacts passed a comparison."""
    kinds = {artifact.kind for artifact in kept}
    return any(report.verdict is Verdict.PASS and _JUDGED[report.stage] in kinds for report in reports)


def may_replace(out: Path, kept: Sequence[Artifact]) -> bool:
    """Whether what was kept of a failed conversion may take the place of what stands there.

    A bundle that stands there came out of a conversion that reached its end, and is better than one that did not: it
    stays. What another failed conversion left is replaced by as much or more, so that trying again to the same place
    does not end with the result of the first attempt.

    Args:
        out: the place; checked by ``check_replaceable``.
        kept: the artefacts.
    """
    if not is_bundle(out):
        return True
    old = read_manifest(out / MANIFEST_FILE)
    return old.failure is not None and {a.kind for a in old.artifacts} <= {a.kind for a in kept}
