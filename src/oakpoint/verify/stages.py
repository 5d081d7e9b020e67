"""The verdict on each stage of the chain: two models, the same images, the tolerances of that stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.registry import INPUT
from oakpoint.bundle.records import Check, StageReport, Verdict
from oakpoint.errors import BackendError, ConversionError, NotExecutableError, UsageError
from oakpoint.extractor import dense_outputs
from oakpoint.features.types import DecodeOptions, Outputs
from oakpoint.images.preprocess import Preprocess
from oakpoint.verify.compare import Agreement, View
from oakpoint.verify.finite import Finiteness
from oakpoint.verify.photographs import second_view
from oakpoint.verify.rounding import STANDS_OUT
from oakpoint.verify.tolerances import FINITE, SCORE_FLOOR, TOLERANCES, Tolerance

Images = Mapping[str, NDArray[np.uint8]]

SCALE = "a wrong input scale (0–255 where the network wants 0–1), or altered weights"
LOCAL = "a tile, copy or channel that went wrong, or a single altered weight"

LOOK_FOR = {
    FINITE: "an overflow of FP16 (values over 65504, L2 normalisation on the device), 0/0, or memory never written",
    "root mean square logit error, relative": SCALE,
    "root mean square descriptor error, relative": (
        "an overflow of FP16 (L2 normalisation on the device), a wrong input scale, altered weights, or outputs in "
        "another order"
    ),
    "usual score error": SCALE,
    "largest logit error, relative": LOCAL,
    "largest descriptor error, relative": LOCAL,
    "largest score error": LOCAL,
    "weights bit for bit": "the ONNX was not made from these weights, or was altered since",
    "weights rounded to FP16": "the IR was not made from this ONNX, or was altered since",
    "constants as in the device graph": "the blob was not compiled from this ONNX and for these heads, or was altered",
    "mean descriptor cosine": "the descriptor head: altered weights, or outputs in another order",
}
"""What a failed figure points to."""


def verify_stage(
    stage: str,
    open_reference: Callable[[], Backend],
    open_candidate: Callable[[], Backend],
    *,
    images: Images,
    preprocess: Preprocess,
    decode: DecodeOptions,
    candidate_preprocess: Preprocess | None = None,
    further: Mapping[str, Callable[[], float]] | None = None,
    claim: str = "",
    of_reference: Callable[[Outputs], Outputs] = lambda outputs: outputs,
    of_candidate: Callable[[Outputs], Outputs] = lambda outputs: outputs,
) -> StageReport:
    """Compare two models on images and judge the figures by the stage's tolerances.

    A candidate that cannot be opened, refuses the input or puts out other tensors than a keypoint network's fails; so
    does one with a figure that could not be measured. A candidate that is whole and cannot be executed here is
    NOTHING_COMPARED. A reference that fails is an error of its own.

    Args:
        stage: name of the stage, a key of ``TOLERANCES``.
        open_reference: opens the model that is believed.
        open_candidate: opens the model that is judged.
        images: real images by name; a second view is made of each for matching.
        preprocess: of the reference.
        candidate_preprocess: of the candidate, where another part of it lies within the graph; None for the same.
        decode: options for the decoded features.
        further: figures of the candidate that are measured elsewhere and have a tolerance here.
        claim: what a pass means and what it does not, where that needs saying.
        of_reference: what is made of the reference's outputs before they are compared, where the two differ in form.
        of_candidate: the same for the candidate's.

    Raises:
        BackendError: from the reference.
    """
    if not images:
        return StageReport(stage=stage, verdict=Verdict.NOTHING_COMPARED, summary="no images to compare on")
    agreement, finiteness = Agreement(decode, SCORE_FLOOR[stage]), Finiteness()
    try:
        measured_elsewhere = {name: _measured(measure) for name, measure in (further or {}).items()}
        with open_reference() as reference, _judging(open_candidate) as candidate:
            for image in images.values():
                pictures = (image, second_view(image))
                expected = [reference.run({INPUT: preprocess.apply(p)[0]}) for p in pictures]
                got = [_judged_run(candidate, (candidate_preprocess or preprocess).apply(p)[0]) for p in pictures]
                for pair in zip(expected, got, strict=True):
                    finiteness.add(*pair)
                reference_views = [agreement.view(of_reference(dense_outputs(tensors))) for tensors in expected]
                candidate_views = [agreement.view(_judged_outputs(tensors, of_candidate)) for tensors in got]
                for pair_of_views in zip(reference_views, candidate_views, strict=True):
                    _require_same_shape(*pair_of_views)
                    agreement.add_image(*pair_of_views)
                agreement.add_pair(reference_views, candidate_views)
    except NotExecutableError as error:
        return not_executed(stage, str(error))
    except _CandidateError as error:
        return StageReport(stage=stage, verdict=Verdict.FAIL, summary=str(error), images=agreement.images)
    return _judged(stage, agreement, finiteness, measured_elsewhere, claim)


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


def _judged_run(candidate: Backend, tensor: NDArray[Any]) -> Tensors:
    try:
        return candidate.run({INPUT: tensor})
    except NotExecutableError:
        raise
    except BackendError as error:
        raise _CandidateError(str(error)) from error


def _judged_outputs(tensors: Tensors, form: Callable[[Outputs], Outputs]) -> Outputs:
    try:
        return form(dense_outputs(tensors))
    except BackendError as error:
        raise _CandidateError(str(error)) from error


def _require_same_shape(expected: View, got: View) -> None:
    shapes = [view.outputs.descriptors.shape for view in (expected, got)]
    if shapes[0] != shapes[1]:
        raise _CandidateError(f"descriptors: expected shape {shapes[0]}, got {shapes[1]}")


def _judged(
    stage: str, agreement: Agreement, finiteness: Finiteness, further: dict[str, float], claim: str
) -> StageReport:
    figures = agreement.figures() | further | {FINITE: finiteness.share()}
    if unknown := finiteness.unknown_outputs():
        summary = f"the reference itself gives no finite value in {', '.join(unknown)}: nothing to compare with"
        return _nothing_compared(stage, summary, agreement, figures)
    checks = tuple(_check(t, figures) for t in TOLERANCES[stage] if _gives_a_verdict(t, figures))
    failed = [check for check in checks if not check.passed]
    measured = [check for check in failed if not np.isnan(check.value)]
    if not agreement.keypoints and not measured:
        summary = "no keypoints on either side: the decoded features could not be compared"
        return _nothing_compared(stage, summary, agreement, figures)
    return StageReport(
        stage=stage,
        verdict=Verdict.FAIL if failed else Verdict.PASS,
        summary=_failure((measured or failed)[0], finiteness) if failed else _success(agreement, figures),
        images=agreement.images,
        checks=checks,
        figures=figures,
        claim="" if failed else claim,
    )


def _nothing_compared(stage: str, summary: str, agreement: Agreement, figures: dict[str, float]) -> StageReport:
    return StageReport(
        stage=stage, verdict=Verdict.NOTHING_COMPARED, summary=summary, images=agreement.images, figures=figures
    )


def _gives_a_verdict(tolerance: Tolerance, figures: Mapping[str, float]) -> bool:
    if tolerance.may_be_absent and np.isnan(figures.get(tolerance.figure, 0.0)):
        return False
    return figures["keypoints compared"] >= tolerance.from_keypoints


def _check(tolerance: Tolerance, figures: Mapping[str, float]) -> Check:
    value, limit = figures.get(tolerance.figure, np.nan), tolerance.limit
    if tolerance.usual:
        limit = max(limit, STANDS_OUT * figures[tolerance.usual])
    passed = value >= limit if tolerance.kind == "at_least" else value <= limit
    return Check(name=tolerance.figure, value=float(value), limit=limit, kind=tolerance.kind, passed=bool(passed))


def _failure(first: Check, finiteness: Finiteness) -> str:
    hint = LOOK_FOR.get(first.name, "a wrong input scale, altered weights, or outputs in another order")
    if first.name == FINITE:
        return f"{finiteness.worst()} not finite where the reference is; look for: {hint}"
    sign = "at least" if first.kind == "at_least" else "at most"
    return f"{first.name} {first.value:.6g}, expected {sign} {first.limit:.6g}; look for: {hint}"


def _success(agreement: Agreement, figures: dict[str, Any]) -> str:
    return (
        f"{agreement.keypoints} keypoints on {agreement.images} images, "
        f"{figures['keypoints in common at 0 px']:.2%} in common at 0 px "
        f"({figures['keypoints that hang on rounding']:.1%} hang on rounding), "
        f"descriptor cosine {figures['mean descriptor cosine']:.6f} "
        f"(smallest {figures['smallest descriptor cosine']:.6f})"
    )


def not_executed(stage: str, reason: str) -> StageReport:
    """The report on something that was compiled and cannot be executed here: never a pass."""
    return StageReport(stage=stage, verdict=Verdict.NOTHING_COMPARED, summary=f"compiled, not executed: {reason}")
