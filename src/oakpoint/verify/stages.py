"""The verdict on each stage of the chain: two models, the same images, the tolerances of that stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.registry import INPUT
from oakpoint.bundle.records import Check, StageReport, Verdict
from oakpoint.errors import BackendError
from oakpoint.extractor import dense_outputs
from oakpoint.features.types import DecodeOptions
from oakpoint.images.preprocess import Preprocess
from oakpoint.verify.compare import Agreement, View
from oakpoint.verify.photographs import second_view
from oakpoint.verify.tolerances import BLOB_STAGE, TIE, TOLERANCES, Tolerance

Images = Mapping[str, NDArray[np.uint8]]

LOOK_FOR = {
    "weights bit for bit": "the ONNX was not made from these weights, or was altered since",
    "weights rounded to FP16": "the IR was not made from this ONNX, or was altered since",
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
    further: Mapping[str, float] | None = None,
) -> StageReport:
    """Compare two models on images and judge the figures by the stage's tolerances.

    A candidate that cannot be opened, refuses the input or puts out something else than ``semi`` and ``desc`` fails; so
    does one with a figure that could not be measured. A reference that fails is an error of its own.

    Args:
        stage: name of the stage, a key of ``TOLERANCES``.
        open_reference: opens the model that is believed.
        open_candidate: opens the model that is judged.
        images: real images by name; a second view is made of each for matching.
        preprocess: of both models.
        decode: options for the decoded features.
        further: figures that were measured elsewhere and have a tolerance here.

    Raises:
        BackendError: from the reference.
    """
    if not images:
        return StageReport(stage=stage, verdict=Verdict.NOTHING_COMPARED, summary="no images to compare on")
    agreement = Agreement(decode, TIE[stage])
    try:
        with open_reference() as reference, _judging(open_candidate) as candidate:
            for image in images.values():
                tensors = [preprocess.apply(picture)[0] for picture in (image, second_view(image))]
                expected = [_view(reference, tensor, agreement) for tensor in tensors]
                got = [_judged_view(candidate, tensor, agreement) for tensor in tensors]
                for pair in zip(expected, got, strict=True):
                    agreement.add_image(*pair)
                agreement.add_pair(expected, got)
    except _CandidateError as error:
        return StageReport(stage=stage, verdict=Verdict.FAIL, summary=str(error), images=agreement.images)
    return _judged(stage, agreement, dict(further or {}))


class _CandidateError(Exception):
    """The model under judgement failed or gave something else than expected."""


def _judging(open_candidate: Callable[[], Backend]) -> Backend:
    try:
        return open_candidate()
    except BackendError as error:
        raise _CandidateError(str(error)) from error


def _view(backend: Backend, tensor: NDArray[Any], agreement: Agreement) -> View:
    return agreement.view(dense_outputs(backend.run({INPUT: tensor})))


def _judged_view(backend: Backend, tensor: NDArray[Any], agreement: Agreement) -> View:
    try:
        return _view(backend, tensor, agreement)
    except BackendError as error:
        raise _CandidateError(str(error)) from error


def _judged(stage: str, agreement: Agreement, further: dict[str, float]) -> StageReport:
    figures = agreement.figures() | further
    checks = tuple(_check(tolerance, figures.get(tolerance.figure, np.nan)) for tolerance in TOLERANCES[stage])
    if not agreement.keypoints:
        summary = "no keypoints on either side: the decoded features could not be compared"
        return StageReport(
            stage=stage, verdict=Verdict.NOTHING_COMPARED, summary=summary, images=agreement.images, figures=figures
        )
    failed = [check for check in checks if not check.passed]
    return StageReport(
        stage=stage,
        verdict=Verdict.FAIL if failed else Verdict.PASS,
        summary=_failure(failed) if failed else _success(agreement, figures),
        images=agreement.images,
        checks=checks,
        figures=figures,
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


def blob_not_executed() -> StageReport:
    """The blob's report for as long as it cannot be executed here: never a pass."""
    return StageReport(stage=BLOB_STAGE, verdict=Verdict.NOTHING_COMPARED, summary="compiled, not executed")
