"""What drives a comparison: whichever task, whichever two models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.errors import BackendError, ConversionError, NotExecutableError, UsageError
from oakpoint.verify.stages import verify_stage
from oakpoint.verify.tensors import LIMITS, TensorAgreement
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    DEVICE_STAGE,
    FINITE,
    IR_STAGE,
    ONNX_STAGE,
    STAGE_TOLERANCES,
    Tolerance,
)

EXACT = {
    "weights bit for bit": lambda: 1.0,
    "weights rounded to FP16": lambda: 1.0,
    "constants as in the device graph": lambda: 1.0,
}
Formula = Callable[[NDArray[Any]], Tensors]


class Computed(Backend):
    """Puts out what a formula makes of the image."""

    closed = 0

    def __init__(self, formula: Formula, kind: str = "float32") -> None:
        self.description = "formula 1"
        self.inputs = (TensorSpec("x", kind, (1, 1, 64, 96)),)
        self.outputs = ()
        self._formula = formula

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        return self._formula(tensors["x"])

    def close(self) -> None:
        Computed.closed += 1


def network(image: NDArray[Any]) -> Tensors:
    """Two outputs: means of patches, and a vector."""
    patches = image.astype(np.float32).reshape(1, 8, 8, 12, 8).mean(axis=(2, 4))
    return {"mask": np.stack([patches, patches**2], axis=1)[:, :, 0], "classes": patches[:, 0] - 0.5}


def feed(image: NDArray[np.uint8]) -> Tensors:
    return {"x": (image[None, None] / 255).astype(np.float32)}


def judged(candidate: Formula, images: Any, *, stage: str = IR_STAGE, **options: Any) -> StageReport:
    reference = options.pop("reference", network)
    models = (lambda: Computed(reference)), options.pop("open_candidate", lambda: Computed(candidate))
    given: dict[str, Any] = {"feed": feed, "further": EXACT} | options
    return verify_stage(stage, *models, TensorAgreement(stage), images=images, **given)


@pytest.fixture(scope="module")
def images() -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    return {name: rng.integers(0, 256, (64, 96), np.uint8) for name in "ab"}


def changed(**by: Callable[[NDArray[Any]], NDArray[Any]]) -> Formula:
    return lambda image: {name: by.get(name, lambda a: a)(array) for name, array in network(image).items()}


@pytest.mark.parametrize("stage", LIMITS)  # the others are not judged by rounding
def test_the_same_model_passes_at_every_stage(images: Any, stage: str) -> None:
    report = judged(network, images, stage=stage, claim="a claim")
    assert report.verdict is Verdict.PASS, report.summary
    assert (report.stage, report.images, report.claim) == (stage, 4, "a claim")
    assert report.checks
    assert all(check.passed for check in report.checks)
    assert report.checks[0].name == FINITE
    assert report.summary.startswith("4 images; mask: root mean square error 0, cosine 1.0")


@pytest.mark.parametrize(
    ("candidate", "summary"),
    [
        (lambda image: network(image * 255), "a wrong scale, mean or order of the channels"),
        (lambda image: network(image + np.float32(0.1)), "a wrong scale, mean or order of the channels"),
        (lambda image: network(image[..., ::-1]), "expected at most"),
        (changed(mask=lambda a: a[:, ::-1]), "root mean square error of mask"),
        (changed(mask=lambda a: a + np.nan), "100.00% of the output mask not finite where the reference is; look"),
        (changed(classes=lambda a: a * np.inf), "of the output classes not finite"),
        (changed(classes=lambda a: a * 0), "root mean square error of classes, relative 1,"),
        (changed(classes=lambda a: a[:, :5]), r"output classes: expected shape \(1, 12\), got \(1, 5\)"),
        (changed(mask=lambda a: a.transpose(0, 2, 1)), r"output mask: expected shape \(1, 2, 12\), got \(1, 12, 2\)"),
        (lambda image: {"mask": network(image)["mask"]}, "expected the outputs mask, classes, got mask"),
        (lambda image: network(image) | {"more": np.zeros(1)}, "expected the outputs mask, classes, got mask, classes"),
    ],
    ids=[
        "scale", "mean", "mirrored", "swapped channels", "nan", "infinite", "zeros", "short", "turned", "one output",
        "one too many",
    ],
)  # fmt: skip
def test_a_wrong_model_fails_and_the_summary_says_where_to_look(images: Any, candidate: Formula, summary: str) -> None:
    report = judged(candidate, images, claim="a claim")
    assert report.verdict is Verdict.FAIL
    assert re.search(summary, report.summary), report.summary
    assert report.claim == ""


def test_both_models_get_an_image_and_a_second_view_of_it_each_in_its_own_form(images: Any) -> None:
    seen: dict[str, list[NDArray[Any]]] = {"reference": [], "candidate": []}

    def noting(side: str, scale: float) -> Formula:
        def formula(image: NDArray[Any]) -> Tensors:
            seen[side].append(image)
            return network(image * np.float32(scale))

        return formula

    report = verify_stage(
        DEVICE_STAGE,
        lambda: Computed(noting("reference", 1)),
        lambda: Computed(noting("candidate", 1 / 255), "uint8"),
        TensorAgreement(DEVICE_STAGE),
        images=images,
        feed=feed,
        candidate_feed=lambda image: {"x": image[None, None]},
    )
    assert report.verdict is Verdict.PASS, report.summary
    assert len(seen["reference"]) == len(seen["candidate"]) == 4
    for float_image, levels in zip(*seen.values(), strict=True):
        np.testing.assert_allclose(float_image * 255, levels, atol=1e-4)
    assert not np.array_equal(*seen["candidate"][:2])


def test_models_are_closed_whatever_comes_of_it(images: Any) -> None:
    Computed.closed = 0
    judged(network, images)
    judged(lambda image: {}, images)
    assert Computed.closed == 4


def test_weights_that_differ_fail_even_where_no_image_shows_it(images: Any) -> None:
    report = judged(network, images, further=EXACT | {"weights rounded to FP16": lambda: 0.9999})
    assert report.verdict is Verdict.FAIL
    assert report.summary == (
        "weights rounded to FP16 0.9999, expected at least 1; look for: the IR was not made from this ONNX, or was "
        "altered since"
    )


@pytest.mark.parametrize("further", [{}, {"share of something": lambda: np.nan}])
def test_a_figure_that_could_not_be_measured_never_passes(
    images: Any, further: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (Tolerance("share of something", "at_least", 1.0, "for this test"),)
    monkeypatch.setitem(STAGE_TOLERANCES, IR_STAGE, asked)
    assert judged(network, images, further=further).verdict is Verdict.FAIL


def test_a_figure_that_may_be_absent_is_left_out_where_it_is_not_a_number(images: Any) -> None:
    report = judged(network, images, further={"weights rounded to FP16": lambda: np.nan})
    assert report.verdict is Verdict.PASS
    assert "weights rounded to FP16" not in {check.name for check in report.checks}
    assert judged(network, images, further={}).verdict is Verdict.FAIL, "nobody tried to measure it"


def test_a_figure_that_cannot_be_measured_on_a_broken_candidate_is_its_fault(images: Any) -> None:
    def refuse() -> float:
        raise ConversionError("no IR")

    report = judged(network, images, further={"weights rounded to FP16": refuse})
    assert (report.verdict, report.summary) == (Verdict.FAIL, "no IR")


@pytest.mark.parametrize("error", [BackendError("no moon"), UsageError("compiled for another size")])
def test_a_candidate_that_does_not_open_fails(images: Any, error: Exception) -> None:
    def refuse() -> Backend:
        raise error

    report = judged(network, images, open_candidate=refuse)
    assert (report.verdict, report.summary, report.images) == (Verdict.FAIL, str(error), 0)


def test_a_candidate_that_does_not_run_fails(images: Any) -> None:
    def refuse(image: NDArray[Any]) -> Tensors:
        raise BackendError("no moon")

    report = judged(refuse, images)
    assert (report.verdict, report.summary) == (Verdict.FAIL, "no moon")


@pytest.mark.parametrize("when", ["opened", "run"])
def test_a_reference_that_fails_is_an_error_of_its_own(images: Any, when: str) -> None:
    def refuse(*_: object) -> Any:
        raise BackendError("no moon")

    open_reference = refuse if when == "opened" else lambda: Computed(refuse)
    with pytest.raises(BackendError, match="no moon"):
        verify_stage(
            IR_STAGE, open_reference, lambda: Computed(network), TensorAgreement(IR_STAGE), images=images, feed=feed
        )


def test_no_image_is_nothing_compared_and_opens_nothing() -> None:
    def refuse() -> Backend:
        raise AssertionError

    report = judged(network, {}, open_candidate=refuse)
    assert (report.verdict, report.images) == (Verdict.NOTHING_COMPARED, 0)
    assert report.summary == "no images to compare on"


def test_a_network_without_outputs_is_nothing_compared(images: Any) -> None:
    report = judged(lambda image: {}, images, reference=lambda image: {})
    assert (report.verdict, report.summary) == (Verdict.NOTHING_COMPARED, "the network gives no output")


@pytest.mark.parametrize("when", ["opened", "run"])
def test_what_cannot_be_executed_here_is_neither_a_pass_nor_a_failure(images: Any, when: str) -> None:
    def refuse(*_: object) -> Any:
        raise NotExecutableError("stage 3 (Round): not modelled")

    report = judged(refuse, images, stage=BLOB_STAGE, **({"open_candidate": refuse} if when == "opened" else {}))
    assert report.verdict is Verdict.NOTHING_COMPARED
    assert report.summary == "compiled, not executed: stage 3 (Round): not modelled"


def one(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def put(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array.reshape(-1)[5] = value
        return array

    return put


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", [ONNX_STAGE, IR_STAGE, DEVICE_STAGE, BLOB_STAGE])
@pytest.mark.parametrize("output", ["mask", "classes"])
def test_a_single_value_that_is_no_number_fails(images: Any, stage: str, value: float, output: str) -> None:
    report = judged(changed(**{output: one(value)}), images, stage=stage)
    assert report.verdict is Verdict.FAIL
    assert re.match(rf"\d+\.\d\d% of the output {output} not finite where the reference is", report.summary)


def test_of_what_the_reference_does_not_know_nothing_is_said(images: Any) -> None:
    """0/0 for a flat patch on both sides is the network's own; a reference without any number is none."""
    with_hole = changed(mask=one(np.nan))
    assert judged(with_hole, images, reference=with_hole).verdict is Verdict.PASS
    assert judged(network, images, reference=with_hole).verdict is Verdict.PASS
    assert judged(with_hole, images).verdict is Verdict.FAIL
    nothing = judged(network, images, reference=changed(mask=lambda a: a + np.nan))
    assert nothing.verdict is Verdict.NOTHING_COMPARED
    assert nothing.summary == "the reference itself gives no finite value in mask: nothing to compare with"
