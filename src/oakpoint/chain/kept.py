"""What is kept of a conversion that failed: everything that was verified, or follows from what was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from oakpoint.bundle.folder import is_bundle
from oakpoint.bundle.manifest import MANIFEST_FILE, read_manifest
from oakpoint.bundle.records import Artifact, StageReport, Verdict
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.steps import STEPS, Step, made_with


def left_out(
    reports: Iterable[StageReport], options: ConversionOptions, broken: tuple[str, str] | None
) -> dict[str, str]:
    """The artefacts that are not kept, and why.

    Args:
        reports: the verdicts.
        options: what was asked for.
        broken: the step that could not be done, and the reason; None where all were.

    Returns:
        Artefact kind → reason. What failed its verification is left out with all that was made from it; the step that
        could not be done, and those after it, are missing.
    """
    wanted = [step for step in STEPS if step.wanted(options)]
    why: dict[str, str] = {}
    for report in reports:
        if report.verdict is Verdict.FAIL:
            why[_judged_by(report).name] = f"it failed its verification: {report.summary}"
    if broken is not None:
        name, reason = broken
        why[name] = reason
        after = wanted[[step.name for step in wanted].index(name) + 1 :]
        for later in after:
            why.setdefault(later.name, _after(name, reason, later, options))
    for step in wanted:  # what it needs comes first
        gone = next((needed for needed in step.needs if needed in why), None)
        if gone is not None:
            why.setdefault(step.name, f"it is made from the {gone}, which is left out")
    gone_kinds: dict[str, str] = {kind: why[step.name] for step in STEPS if step.name in why for kind in step.makes}
    if "blob" in gone_kinds and options.split:  # halves of a network are for the blob of the first of them
        for kind in next(step for step in wanted if step.name == "split").makes:
            gone_kinds.setdefault(kind, "it is for the blob, which is left out")
    return gone_kinds


def _after(broken: str, reason: str, later: Step, options: ConversionOptions) -> str:
    """Why a step was not tried: a step that only prepares others leaves its own reason to the first of them."""
    step = next(step for step in STEPS if step.name == broken)
    if not step.makes and broken in later.needs:
        return reason
    shown = broken if step.makes else made_with(step, options).name
    return f"not tried, since the {shown} could not be made"


def _judged_by(report: StageReport) -> Step:
    return next(step for step in STEPS if step.stage == report.stage)


def something_verified(kept: Sequence[Artifact], reports: Iterable[StageReport]) -> bool:
    """Whether one of the artefacts passed a comparison."""
    kinds = {artifact.kind for artifact in kept}
    return any(report.verdict is Verdict.PASS and kinds.intersection(_judged_by(report).makes) for report in reports)


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
