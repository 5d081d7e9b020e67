"""A keypoint network judged at the stages of the chain: what passes, what fails, and what the summary says."""

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
from oakpoint.errors import BackendError, NotExecutableError
from oakpoint.features.decode import decode
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.features.types import DecodeOptions
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.keypoints.agreement import Agreement
from oakpoint.tasks.keypoints.heads.normalised import at_unit_norm
from oakpoint.tasks.keypoints.heads.registry import outputs_of
from oakpoint.tasks.keypoints.tolerances import TOLERANCES
from oakpoint.verify.stages import verify_stage
from oakpoint.verify.tolerances import BLOB_STAGE, FINITE, IR_STAGE, ONNX_STAGE, Tolerance

PREPROCESS = Preprocess(size=(96, 64), resize="stretch", interpolation="area")
GRID = (8, 12)
EXACT = {"weights bit for bit": 1.0, "weights rounded to FP16": 1.0, "constants as in the device graph": 1.0}
MEASURED = {name: lambda: 1.0 for name in EXACT}


class Formula(Backend):
    """Puts out what a formula makes of the image."""

    def __init__(self, formula: Callable[[NDArray[Any]], Tensors], kind: str = "float32") -> None:
        self.description = "formula 1"
        self.inputs = (TensorSpec("input", kind, (1, 1, 64, 96)),)
        self.outputs = ()
        self._formula = formula

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        return self._formula(tensors["input"])


def cells(image: NDArray[Any]) -> Tensors:
    """A keypoint network without weights: each cell's logits are its pixels, its descriptor four of them."""
    blocks = image.reshape(GRID[0], 8, GRID[1], 8).transpose(1, 3, 0, 2).reshape(64, *GRID).astype(np.float32)
    logits = np.concatenate([8 * blocks, np.full((1, *GRID), 6.0, np.float32)])
    descriptors = np.stack([blocks[i] - blocks.mean(0) for i in range(0, 64, 4)])
    return {"semi": logits[None], "desc": descriptors[None]}


def feed(image: NDArray[np.uint8]) -> Tensors:
    return {"input": PREPROCESS.apply(image)[0]}


def compared(
    stage: str,
    open_reference: Callable[[], Backend],
    open_candidate: Callable[[], Backend],
    images: Any,
    **options: Any,
) -> StageReport:
    """What ``verify_stage`` says of two backends; ``options`` are those of ``Agreement``, and ``further``."""
    further = options.pop("further", MEASURED)
    agreement = Agreement(DecodeOptions.preset("superpoint"), stage, **options)
    return verify_stage(stage, open_reference, open_candidate, agreement, images=images, feed=feed, further=further)


def judged(candidate: Callable[[NDArray[Any]], Tensors], images: Any, **options: Any) -> StageReport:
    further = {name: lambda value=value: value for name, value in options.pop("further", EXACT).items()}
    stage = options.pop("stage", ONNX_STAGE)
    return compared(stage, lambda: Formula(cells), lambda: Formula(candidate), images, further=further)


@pytest.fixture(scope="module")
def images() -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    return {name: rng.integers(0, 256, (64, 96), np.uint8) for name in "ab"}


def changed(**by: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[NDArray[Any]], Tensors]:
    return lambda image: {name: by.get(name, lambda a: a)(array) for name, array in cells(image).items()}


def test_the_same_model_passes_with_every_figure(images: Any) -> None:
    report = judged(cells, images)
    assert report.verdict is Verdict.PASS
    assert report.images == 4
    assert all(check.passed for check in report.checks)
    assert "keypoints on 4 images, 100.00% in common at 0 px" in report.summary


@pytest.mark.parametrize(
    ("candidate", "summary"),
    [
        (lambda image: cells(image * 255), "wrong input scale"),
        (lambda image: cells(image * np.float32(1.02)), "root mean square logit error, relative 0.0"),
        (lambda image: cells(image[..., ::-1]), "expected at most"),
        (changed(semi=lambda a: a + np.nan), "100.00% of the output semi not finite where the reference is"),
        (changed(semi=lambda a: a * 0), "root mean square logit error, relative 1,"),
        (changed(desc=lambda a: a[:, ::-1]), "descriptor"),
        (changed(desc=lambda a: a + np.nan), "100.00% of the output desc not finite where the reference is"),
        (changed(desc=lambda a: a[:, :1]), r"descriptors: expected shape \(16, 8, 12\), got \(1, 8, 12\)"),
        (changed(semi=lambda a: a.transpose(0, 1, 3, 2), desc=lambda a: a.transpose(0, 1, 3, 2)), "expected shape"),
        (changed(semi=lambda a: a[:, :64]), "logits"),
        (lambda image: {"semi": cells(image)["desc"], "desc": cells(image)["semi"]}, "logits: expected 65"),
        (lambda image: {"semi": cells(image)["semi"]}, "expected the outputs semi and desc, got semi"),
        (lambda image: {}, "expected the outputs semi and desc"),
    ],
    ids=[
        "scale", "slightly scaled", "mirrored", "nan logits", "zero logits", "descriptor order", "nan descriptors",
        "one descriptor", "transposed", "64 channels", "swapped", "one output", "no output",
    ],
)  # fmt: skip
def test_a_wrong_model_fails_and_the_summary_says_where_to_look(
    images: Any, candidate: Callable[[NDArray[Any]], Tensors], summary: str
) -> None:
    report = judged(candidate, images)
    assert report.verdict is Verdict.FAIL
    assert re.search(summary, report.summary), report.summary


def test_weights_that_differ_fail_even_where_no_image_shows_it(images: Any) -> None:
    report = judged(cells, images, further={"weights bit for bit": 0.9999})
    assert report.verdict is Verdict.FAIL
    assert "weights bit for bit 0.9999, expected at least 1" in report.summary


@pytest.mark.parametrize("further", [{}, {"share of something": np.nan}])
def test_a_figure_that_could_not_be_measured_never_passes(
    images: Any, further: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOLERANCES, IR_STAGE, (Tolerance("share of something", "at_least", 1.0, "for this test"),))
    assert judged(cells, images, stage=IR_STAGE, further=further).verdict is Verdict.FAIL


def test_a_figure_that_may_be_absent_is_left_out_where_it_is_not_a_number(images: Any) -> None:
    report = judged(cells, images, further={"weights bit for bit": np.nan})
    assert report.verdict is Verdict.PASS
    assert "weights bit for bit" not in {check.name for check in report.checks}
    assert judged(cells, images, further={}).verdict is Verdict.FAIL, "nobody tried to measure it"


def test_a_candidate_that_does_not_open_or_run_fails(images: Any) -> None:
    def refuse(*_: object) -> Any:
        raise BackendError("no moon")

    assert judged(refuse, images).verdict is Verdict.FAIL
    report = compared(IR_STAGE, lambda: Formula(cells), refuse, images)
    assert (report.verdict, report.summary) == (Verdict.FAIL, "no moon")


def test_a_reference_that_fails_is_an_error_of_its_own(images: Any) -> None:
    def refuse(*_: object) -> Any:
        raise BackendError("no moon")

    with pytest.raises(BackendError, match="no moon"):
        compared(IR_STAGE, refuse, lambda: Formula(cells), images)


def test_no_image_is_nothing_compared() -> None:
    report = judged(cells, {})
    assert (report.verdict, report.images) == (Verdict.NOTHING_COMPARED, 0)


CONSTANT = {"grey": np.full((64, 96), 30, np.uint8)}


def test_no_keypoints_anywhere_is_nothing_compared() -> None:
    report = judged(cells, CONSTANT)
    assert report.verdict is Verdict.NOTHING_COMPARED
    assert "no keypoints on either side" in report.summary


def test_no_keypoints_but_raw_tensors_that_differ_is_a_failure() -> None:
    report = judged(changed(semi=lambda a: a * 1.5), CONSTANT)
    assert report.verdict is Verdict.FAIL
    assert "logit error" in report.summary


def test_keypoints_on_one_side_alone_is_a_failure(images: Any) -> None:
    flat = changed(semi=lambda a: np.where(np.arange(65)[None, :, None, None] == 64, 50, a).astype(np.float32))
    report = judged(flat, images)
    assert report.verdict is Verdict.FAIL


@pytest.mark.parametrize("when", ["opened", "run"])
def test_what_cannot_be_executed_here_is_neither_a_pass_nor_a_failure(images: Any, when: str) -> None:
    def refuse(*_: object) -> Any:
        raise NotExecutableError("stage 3 (Round): not modelled")

    open_candidate = refuse if when == "opened" else lambda: Formula(refuse)
    report = compared(BLOB_STAGE, lambda: Formula(cells), open_candidate, images)
    assert report.verdict is Verdict.NOTHING_COMPARED
    assert report.summary == "compiled, not executed: stage 3 (Round): not modelled"


def test_unit_descriptors_are_compared_with_the_references_at_unit_norm(images: Any) -> None:
    def unit(image: NDArray[Any]) -> Tensors:
        tensors = cells(image)
        return tensors | {"desc": tensors["desc"] / np.linalg.norm(tensors["desc"], axis=1, keepdims=True)}

    def with_unit_reference(candidate: Callable[[NDArray[Any]], Tensors]) -> StageReport:
        models = (lambda: Formula(cells)), (lambda: Formula(candidate))
        return compared(BLOB_STAGE, *models, images, reference_form=at_unit_norm)

    assert with_unit_reference(unit).verdict is Verdict.PASS
    failed = with_unit_reference(cells)
    assert failed.verdict is Verdict.FAIL
    assert "descriptor error, relative" in failed.summary


def in_cells_without_a_keypoint(a: NDArray[Any], value: float) -> NDArray[Any]:
    """The logits with one value in all channels of every cell whose best pixel has a probability below 0.01."""
    heat = heatmap_from_logits(a[0]).reshape(GRID[0], 8, GRID[1], 8).max(axis=(1, 3))
    return np.where(heat < 0.01, np.float32(value), a).astype(np.float32)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", [ONNX_STAGE, IR_STAGE, BLOB_STAGE])
def test_values_that_are_no_numbers_fail_also_where_decoding_hides_them(images: Any, stage: str, value: float) -> None:
    """Every keypoint is still found: what is lost are cells without any."""
    dark = np.arange(64)[:, None] >= 32
    half = {name: np.where(dark, image // 16, image).astype(np.uint8) for name, image in images.items()}
    candidate = changed(semi=lambda a: in_cells_without_a_keypoint(a, value))
    options = DecodeOptions.preset("superpoint")
    for image in half.values():
        tensors = PREPROCESS.apply(image)[0]
        kept, found = (decode(outputs_of(f(tensors)), options).keypoints for f in (cells, candidate))
        assert len(kept) > 5
        assert np.array_equal(kept, found)
    report = judged(candidate, half, stage=stage)
    assert report.verdict is Verdict.FAIL
    assert re.match(r"\d+\.\d\d% of the output semi not finite where the reference is; look for", report.summary)
    assert report.checks[0].name == FINITE
    assert 0.1 < report.checks[0].value < 0.9


def test_a_single_value_that_is_no_number_fails(images: Any) -> None:
    def one(a: NDArray[Any]) -> NDArray[Any]:
        a = a.copy()
        a[0, 3, 2, 2] = np.nan
        return a

    assert judged(changed(desc=one), images).verdict is Verdict.FAIL


def test_of_what_the_reference_does_not_know_nothing_is_said(images: Any) -> None:
    """0/0 for a flat patch on both sides is the network's own; a reference without any number is none."""

    def with_holes(image: NDArray[Any]) -> Tensors:
        tensors = cells(image)
        tensors["desc"][0, :, 1, 1] = np.nan
        return tensors

    def of_two(reference: Callable[[NDArray[Any]], Tensors], candidate: Callable[[NDArray[Any]], Tensors]) -> Any:
        return compared(BLOB_STAGE, lambda: Formula(reference), lambda: Formula(candidate), images)

    assert of_two(with_holes, with_holes).verdict is Verdict.PASS
    assert of_two(cells, with_holes).verdict is Verdict.FAIL
    nothing = of_two(changed(desc=lambda a: a + np.nan), cells)
    assert nothing.verdict is Verdict.NOTHING_COMPARED
    assert "the reference itself gives no finite value in desc" in nothing.summary


def noisy(level: float, seed: int = 0) -> Callable[[NDArray[Any]], Tensors]:
    """The same network with an error everywhere, as rounding makes it."""
    rng = np.random.default_rng(seed)
    return lambda image: {
        name: (array + level * np.abs(array).max() * rng.normal(size=array.shape)).astype(np.float32)
        for name, array in cells(image).items()
    }


@pytest.mark.parametrize("seed", range(6))
def test_keypoints_that_rounding_moves_are_no_fault_however_few_there_are(images: Any, seed: int) -> None:
    """Noise of 1e-3 changes keypoints in a network of noise; no share of them in common is asked for."""
    one = {"a": images["a"]}
    report = judged(noisy(1e-3, seed), one, stage=BLOB_STAGE)
    assert report.verdict is Verdict.PASS, report.summary
    figures = report.figures or {}
    assert figures["keypoints in common at 0 px"] < 0.99
    assert figures["keypoints that hang on rounding"] > 0.01
    assert "hang on rounding" in report.summary


@pytest.mark.parametrize("stage", [IR_STAGE, BLOB_STAGE])
def test_a_fault_in_one_cell_stands_out_of_the_rounding(images: Any, stage: str) -> None:
    def with_a_fault(image: NDArray[Any]) -> Tensors:
        tensors = noisy(3e-4)(image)
        tensors["semi"][0, :, 3, 4] = np.roll(tensors["semi"][0, :, 3, 4], 1)
        return tensors

    assert judged(noisy(3e-4), images, stage=stage).verdict is Verdict.PASS
    report = judged(with_a_fault, images, stage=stage)
    assert report.verdict is Verdict.FAIL
    failed = {check.name for check in report.checks if not check.passed}
    assert failed >= {"largest logit error, relative", "keypoints that rounding does not explain"}


def test_an_error_that_is_everywhere_has_a_limit_of_its_own(images: Any) -> None:
    report = judged(noisy(2e-2), images, stage=BLOB_STAGE)
    assert report.verdict is Verdict.FAIL
    assert "root mean square logit error, relative" in report.summary


def test_descriptors_of_unit_length_are_not_judged_by_the_name_of_an_option(images: Any) -> None:
    """A network that normalises its own descriptors: the short ones carry the larger errors."""

    def normalising(image: NDArray[Any], level: float = 0.0) -> Tensors:
        tensors = noisy(level)(image)
        scale = np.linspace(0.05, 1, tensors["desc"][0, 0].size).reshape(GRID).astype(np.float32)
        short = cells(image)["desc"] * scale + (tensors["desc"] - cells(image)["desc"])
        return tensors | {"desc": (short / np.linalg.norm(short, axis=1, keepdims=True)).astype(np.float32)}

    noisy_one = Formula(lambda image: normalising(image, 1e-3))
    report = compared(BLOB_STAGE, lambda: Formula(normalising), lambda: noisy_one, images)
    assert (report.figures or {})["largest descriptor error, relative"] > 0.01
    assert report.verdict is Verdict.PASS, report.summary
