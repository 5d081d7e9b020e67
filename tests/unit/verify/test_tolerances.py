from __future__ import annotations

import pytest

from oakpoint.verify.stages import LOOK_FOR
from oakpoint.verify.tensors import LIMITS, TensorAgreement
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    CAMERA_STAGE,
    DEVICE_STAGE,
    FINITE,
    FUSED_STAGE,
    INT8_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
    STAGE_TOLERANCES,
    Tolerance,
)

ALL = [(stage, tolerance) for stage, tolerances in STAGE_TOLERANCES.items() for tolerance in tolerances]


@pytest.mark.parametrize(("stage", "tolerance"), ALL, ids=lambda value: getattr(value, "figure", value))
def test_every_tolerance_has_its_reason(stage: str, tolerance: Tolerance) -> None:
    assert len(tolerance.reason) > 10
    assert tolerance.limit == tolerance.limit


def test_every_stage_has_tolerances_and_limits_on_tensors() -> None:
    stages = {ONNX_STAGE, ONNX_ARCHIVE_STAGE, IR_STAGE, DEVICE_STAGE, BLOB_STAGE, CAMERA_STAGE}
    assert stages == set(LIMITS)
    assert stages | {INT8_STAGE, FUSED_STAGE} == set(STAGE_TOLERANCES), "these are judged by what is found"


@pytest.mark.parametrize("stage", STAGE_TOLERANCES)
def test_no_figure_stands_twice(stage: str) -> None:
    figures = [tolerance.figure for tolerance in STAGE_TOLERANCES[stage]]
    assert len(figures) == len(set(figures))


@pytest.mark.parametrize("stage", STAGE_TOLERANCES)
def test_whether_outputs_are_numbers_comes_first(stage: str) -> None:
    assert STAGE_TOLERANCES[stage][0].figure == FINITE


@pytest.mark.parametrize("stage", [ONNX_STAGE, IR_STAGE, BLOB_STAGE])
def test_weights_and_constants_are_exact_where_there_are_such(stage: str) -> None:
    (_, exact) = STAGE_TOLERANCES[stage]
    assert (exact.kind, exact.limit, exact.may_be_absent) == ("at_least", 1.0, True)


@pytest.mark.parametrize("stage", [ONNX_ARCHIVE_STAGE, DEVICE_STAGE, CAMERA_STAGE, INT8_STAGE, FUSED_STAGE])
def test_nothing_is_asked_of_constants_that_nobody_sees(stage: str) -> None:
    assert [tolerance.figure for tolerance in STAGE_TOLERANCES[stage]] == [FINITE]


def test_hints_are_about_figures_that_have_a_tolerance() -> None:
    assert set(LOOK_FOR) == {tolerance.figure for _, tolerance in ALL}


@pytest.mark.parametrize("stage", LIMITS)
def test_limits_on_tensors_have_their_reasons(stage: str) -> None:
    limits = LIMITS[stage]
    assert len(limits.reason) > 10
    assert 0 < limits.largest < 1
    assert 0 < limits.mean_square < 1
    assert TensorAgreement(stage).tolerances() == [], "there is nothing to hold to them before an output is seen"


@pytest.mark.parametrize("stage", LIMITS)
def test_a_cosine_is_held_to_what_the_root_mean_square_leaves_of_it(stage: str) -> None:
    """An error r of what is 1 large leaves at least 1 − r²/2 where it stands across; the limit asks no more."""
    limits = LIMITS[stage]
    assert limits.cosine <= 1 - limits.mean_square**2 / 2


@pytest.mark.parametrize("stage", [IR_STAGE, DEVICE_STAGE, BLOB_STAGE, CAMERA_STAGE])
def test_float32_is_held_to_narrower_limits_than_fp16(stage: str) -> None:
    narrow, wide = LIMITS[ONNX_STAGE], LIMITS[stage]
    assert narrow.mean_square <= wide.mean_square
    assert narrow.largest <= wide.largest
    assert narrow.cosine >= wide.cosine
