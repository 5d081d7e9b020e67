"""The verdict on each stage of the chain: two models, the same images, the tolerances of that stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.registry import INPUT
from oakpoint.bundle.records import Check, StageReport, Verdict
from oakpoint.errors import BackendError, ConversionError, NotExecutableError, UsageError
from oakpoint.extractor import dense_outputs
from oakpoint.features.types import DecodeOptions, Outputs
from oakpoint.images.preprocess import Preprocess
from oakpoint.verify.compare import Agreement, View
from oakpoint.verify.photographs import second_view
from oakpoint.verify.tolerances import TIE, TOLERANCES, Tolerance

Images = Mapping[str, NDArray[np.uint8]]

LOOK_FOR = {
    "largest heat-map error": "a wrong input scale (0–255 where the network wants 0–1), other heads, altered weights",
    "largest descriptor error, relative": "an overflow of FP16 (L2 normalisation on the device), or altered weights",
    "weights bit for bit": "the ONNX was not made from these weights, or was altered since",
    "weights rounded to FP16": "the IR was not made from this ONNX, or was altered since",
    "constants as in the device graph": "the blob was not compiled from this ONNX and for these heads, or was altered",
    "largest logit error, relative": "a wrong input scale (0–255 where the network wants 0–1), or altered weights",
    "smallest descriptor cosine": "the descriptor head: altered weights, or outputs in another order",
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
    tolerances: Sequence[Tolerance] | None = None,
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
        tolerances: in place of the stage's in ``TOLERANCES``.
        of_reference: what is made of the reference's outputs before they are compared, where the two differ in form.
        of_candidate: the same for the candidate's.

    Raises:
        BackendError: from the reference.
    """
    if not images:
        return StageReport(stage=stage, verdict=Verdict.NOTHING_COMPARED, summary="no images to compare on")
    agreement = Agreement(decode, TIE[stage])
    try:
        measured_elsewhere = {name: _measured(measure) for name, measure in (further or {}).items()}
        with open_reference() as reference, _judging(open_candidate) as candidate:
            for image in images.values():
                pictures = (image, second_view(image))
                expected = [_view(reference, preprocess.apply(p)[0], agreement, of_reference) for p in pictures]
                got = [
                    _judged_view(candidate, (candidate_preprocess or preprocess).apply(p)[0], agreement, of_candidate)
                    for p in pictures
                ]
                for pair in zip(expected, got, strict=True):
                    _require_same_shape(*pair)
                    agreement.add_image(*pair)
                agreement.add_pair(expected, got)
    except NotExecutableError as error:
        return not_executed(stage, str(error))
    except _CandidateError as error:
        return StageReport(stage=stage, verdict=Verdict.FAIL, summary=str(error), images=agreement.images)
    return _judged(stage, tolerances or TOLERANCES[stage], agreement, measured_elsewhere, claim)


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


def _view(backend: Backend, tensor: NDArray[Any], agreement: Agreement, form: Callable[[Outputs], Outputs]) -> View:
    return agreement.view(form(dense_outputs(backend.run({INPUT: tensor}))))


def _judged_view(
    backend: Backend, tensor: NDArray[Any], agreement: Agreement, form: Callable[[Outputs], Outputs]
) -> View:
    try:
        return _view(backend, tensor, agreement, form)
    except NotExecutableError:
        raise
    except BackendError as error:
        raise _CandidateError(str(error)) from error


def _require_same_shape(expected: View, got: View) -> None:
    shapes = [view.outputs.descriptors.shape for view in (expected, got)]
    if shapes[0] != shapes[1]:
        raise _CandidateError(f"descriptors: expected shape {shapes[0]}, got {shapes[1]}")


def _judged(
    stage: str, tolerances: Sequence[Tolerance], agreement: Agreement, further: dict[str, float], claim: str
) -> StageReport:
    figures = agreement.figures() | further
    checks = tuple(
        _check(tolerance, figures.get(tolerance.figure, np.nan))
        for tolerance in tolerances
        if not (tolerance.may_be_absent and np.isnan(figures.get(tolerance.figure, 0.0)))
    )
    failed = [check for check in checks if not check.passed]
    measured = [check for check in failed if not np.isnan(check.value)]
    if not agreement.keypoints and not measured:
        summary = "no keypoints on either side: the decoded features could not be compared"
        return StageReport(
            stage=stage, verdict=Verdict.NOTHING_COMPARED, summary=summary, images=agreement.images, figures=figures
        )
    return StageReport(
        stage=stage,
        verdict=Verdict.FAIL if failed else Verdict.PASS,
        summary=_failure(measured or failed) if failed else _success(agreement, figures),
        images=agreement.images,
        checks=checks,
        figures=figures,
        claim="" if failed else claim,
    )


def _check(tolerance: Tolerance, value: float) -> Check:
    passed = value >= tolerance.limit if tolerance.kind == "at_least" else value <= tolerance.limit
    return Check(
        name=tolerance.figure, value=float(value), limit=tolerance.limit, kind=tolerance.kind, passed=bool(passed)
    )


def _failure(failed: list[Check]) -> str:
    first = failed[0]
    sign = "at least" if first.kind == "at_least" else "at most"
    hint = LOOK_FOR.get(first.name, "a wrong input scale, altered weights, or outputs in another order")
    return f"{first.name} {first.value:.6g}, expected {sign} {first.limit:g}; look for: {hint}"


def _success(agreement: Agreement, figures: dict[str, Any]) -> str:
    return (
        f"{agreement.keypoints} keypoints on {agreement.images} images, "
        f"{figures['keypoints in common at 0 px']:.2%} in common at 0 px, "
        f"descriptor cosine {figures['mean descriptor cosine']:.6f} "
        f"(smallest {figures['smallest descriptor cosine']:.6f})"
    )


def not_executed(stage: str, reason: str) -> StageReport:
    """The report on something that was compiled and cannot be executed here: never a pass."""
    return StageReport(stage=stage, verdict=Verdict.NOTHING_COMPARED, summary=f"compiled, not executed: {reason}")
