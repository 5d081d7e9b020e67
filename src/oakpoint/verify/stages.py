"""The verdict on each stage of the chain: two models, the same images, the tolerances of that stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.records import Check, StageReport, Verdict
from oakpoint.errors import BackendError, ConversionError, NotExecutableError, UsageError
from oakpoint.verify.comparison import Comparison
from oakpoint.verify.finite import Finiteness
from oakpoint.verify.photographs import second_view
from oakpoint.verify.rounding import STANDS_OUT
from oakpoint.verify.tolerances import FINITE, STAGE_TOLERANCES, Tolerance
from oakpoint.verify.witness import Witness

Images = Mapping[str, NDArray[np.uint8]]
Feed = Callable[[NDArray[np.uint8]], Tensors]
"""Makes a model's inputs of an image."""

LOOK_FOR = {
    FINITE: "an overflow of FP16 (values over 65504, L2 normalisation on the device), 0/0, or memory never written",
    "weights bit for bit": "the ONNX was not made from these weights, or was altered since",
    "weights rounded to FP16": "the IR was not made from this ONNX, or was altered since",
    "constants as in the device graph": "the blob was not compiled from this ONNX and for these heads, or was altered",
}
"""What a failed figure points to, whatever the task."""


def verify_stage(
    stage: str,
    open_reference: Callable[[], Backend],
    open_candidate: Callable[[], Backend],
    comparison: Comparison[Any],
    *,
    images: Images,
    feed: Feed,
    candidate_feed: Feed | None = None,
    further: Mapping[str, Callable[[], float]] | None = None,
    claim: str = "",
    witness: Witness | None = None,
) -> StageReport:
    """Compare two models on images and judge the figures by the stage's tolerances.

    A candidate that cannot be opened, refuses the input or puts out other tensors than expected fails; so does one with
    a figure that could not be measured. A candidate that is whole and cannot be executed here is NOTHING_COMPARED. A
    reference that fails is an error of its own.

    Args:
        stage: name of the stage, a key of ``STAGE_TOLERANCES``.
        open_reference: opens the model that is believed.
        open_candidate: opens the model that is judged.
        comparison: compares their outputs; a fresh one, made for this stage.
        images: real images by name; a second view is made of each.
        feed: the reference's inputs.
        candidate_feed: the candidate's, where another part of the preprocessing lies within the graph; None for the
            same.
        further: figures of the candidate that are measured elsewhere and have a tolerance here.
        claim: what a pass means and what it does not, where that needs saying.
        witness: sees what is compared.

    Raises:
        BackendError: from the reference.
    """
    if not images:
        return StageReport(stage=stage, verdict=Verdict.NOTHING_COMPARED, summary="no images to compare on")
    finiteness = Finiteness()
    try:
        measured_elsewhere = {name: _measured(measure) for name, measure in (further or {}).items()}
        with open_reference() as reference, _judging(open_candidate) as candidate:
            for number, (name, image) in enumerate(images.items()):
                pictures = (image, second_view(image))
                expected = [reference.run(feed(picture)) for picture in pictures]
                got = [_judged(partial(candidate.run, (candidate_feed or feed)(picture))) for picture in pictures]
                for pair in zip(expected, got, strict=True):
                    finiteness.add(*pair)
                views = [comparison.reference(tensors) for tensors in expected]
                judged = [_judged(partial(comparison.candidate, tensors)) for tensors in got]
                _judged(partial(comparison.add, views, judged))
                if witness is not None and number == 0:
                    witness.saw(name, image, expected[0], got[0])
    except NotExecutableError as error:
        return not_executed(stage, str(error))
    except _CandidateError as error:
        return StageReport(stage=stage, verdict=Verdict.FAIL, summary=str(error), images=comparison.images)
    if witness is not None:
        witness.compared(comparison)
    return _report(stage, comparison, finiteness, measured_elsewhere, claim)


class _CandidateError(Exception):
    """The model under judgement failed or gave something else than expected."""


def _judging(open_candidate: Callable[[], Backend]) -> Backend:
    try:
        return open_candidate()
    except NotExecutableError:
        raise
    except (BackendError, UsageError) as error:  # UsageError: compiled for another size
        raise _CandidateError(str(error)) from error


def _measured(measure: Callable[[], float]) -> float:
    try:
        return measure()
    except ConversionError as error:
        raise _CandidateError(str(error)) from error


def _judged(work: Callable[[], Any]) -> Any:
    """Do what may show that the candidate is at fault."""
    try:
        return work()
    except NotExecutableError:
        raise
    except BackendError as error:
        raise _CandidateError(str(error)) from error


def _report(
    stage: str, comparison: Comparison[Any], finiteness: Finiteness, further: dict[str, float], claim: str
) -> StageReport:
    figures = comparison.figures() | further | {FINITE: finiteness.share()}
    if unknown := finiteness.unknown_outputs():
        summary = f"the reference itself gives no finite value in {', '.join(unknown)}: nothing to compare with"
        return _nothing_compared(stage, summary, comparison, figures)
    tolerances = (*STAGE_TOLERANCES[stage], *comparison.tolerances())
    checks = tuple(_check(t, figures) for t in tolerances if _gives_a_verdict(t, figures))
    failed = [check for check in checks if not check.passed]
    measured = [check for check in failed if not np.isnan(check.value)]
    why_nothing = comparison.why_nothing()
    if why_nothing is not None and not measured:
        return _nothing_compared(stage, why_nothing, comparison, figures)
    first = (measured or failed)[0] if failed else None
    return StageReport(
        stage=stage,
        verdict=Verdict.FAIL if failed else Verdict.PASS,
        summary=comparison.success(figures) if first is None else _failure(first, comparison, finiteness),
        images=comparison.images,
        checks=checks,
        figures=figures,
        claim="" if failed else claim,
    )


def _nothing_compared(stage: str, summary: str, comparison: Comparison[Any], figures: dict[str, float]) -> StageReport:
    return StageReport(
        stage=stage, verdict=Verdict.NOTHING_COMPARED, summary=summary, images=comparison.images, figures=figures
    )


def _gives_a_verdict(tolerance: Tolerance, figures: Mapping[str, float]) -> bool:
    if tolerance.may_be_absent and np.isnan(figures.get(tolerance.figure, 0.0)):
        return False
    return not tolerance.counted or figures[tolerance.counted] >= tolerance.from_count


def _check(tolerance: Tolerance, figures: Mapping[str, float]) -> Check:
    value, limit = figures.get(tolerance.figure, np.nan), tolerance.limit
    if tolerance.usual:
        limit = max(limit, STANDS_OUT * figures[tolerance.usual])
    passed = value >= limit if tolerance.kind == "at_least" else value <= limit
    return Check(name=tolerance.figure, value=float(value), limit=limit, kind=tolerance.kind, passed=bool(passed))


def _failure(first: Check, comparison: Comparison[Any], finiteness: Finiteness) -> str:
    hints = {**LOOK_FOR, **comparison.look_for()}
    hint = hints.get(first.name, "a wrong input scale, altered weights, or outputs in another order")
    if first.name == FINITE:
        return f"{finiteness.worst()} not finite where the reference is; look for: {hint}"
    sign = "at least" if first.kind == "at_least" else "at most"
    return f"{first.name} {first.value:.6g}, expected {sign} {first.limit:.6g}; look for: {hint}"


def not_executed(stage: str, reason: str) -> StageReport:
    """The report on something that was compiled and cannot be executed here: never a pass."""
    return StageReport(stage=stage, verdict=Verdict.NOTHING_COMPARED, summary=f"compiled, not executed: {reason}")
