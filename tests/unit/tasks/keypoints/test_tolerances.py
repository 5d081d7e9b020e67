from __future__ import annotations

import pytest

from oakpoint.tasks.keypoints.tolerances import SCORE_FLOOR, TOLERANCES
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    CAMERA_STAGE,
    DEVICE_STAGE,
    FUSED_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
    STAGE_TOLERANCES,
    Tolerance,
)

ALL = [(stage, tolerance) for stage, tolerances in TOLERANCES.items() for tolerance in tolerances]


def limit(stage: str, figure: str) -> float:
    return next(tolerance.limit for tolerance in TOLERANCES[stage] if tolerance.figure == figure)


@pytest.mark.parametrize(("stage", "tolerance"), ALL, ids=lambda value: getattr(value, "figure", value))
def test_every_tolerance_has_its_reason(stage: str, tolerance: Tolerance) -> None:
    assert len(tolerance.reason) > 10
    assert tolerance.limit == tolerance.limit


def test_every_stage_has_tolerances_and_a_floor() -> None:
    assert {ONNX_STAGE, ONNX_ARCHIVE_STAGE, IR_STAGE, DEVICE_STAGE, BLOB_STAGE, CAMERA_STAGE, FUSED_STAGE} == set(
        TOLERANCES
    )
    assert set(SCORE_FLOOR) == set(TOLERANCES)


@pytest.mark.parametrize("stage", TOLERANCES)
def test_no_figure_stands_twice_also_among_those_of_any_task(stage: str) -> None:
    figures = [tolerance.figure for tolerance in (*STAGE_TOLERANCES[stage], *TOLERANCES[stage])]
    assert len(figures) == len(set(figures))


@pytest.mark.parametrize("stage", [CAMERA_STAGE, DEVICE_STAGE])
def test_a_camera_and_a_device_graph_are_held_to_the_limits_of_the_blob(stage: str) -> None:
    blob, other = (
        [(tolerance.figure, tolerance.kind, tolerance.limit, tolerance.usual) for tolerance in TOLERANCES[stage]]
        for stage in (BLOB_STAGE, stage)
    )
    assert blob == other
    assert SCORE_FLOOR[stage] == SCORE_FLOOR[BLOB_STAGE]


@pytest.mark.parametrize("stage", TOLERANCES)
def test_no_limit_is_a_share_of_the_keypoints(stage: str) -> None:
    """How many change places hangs on the scene; what is asked is that rounding explains each of them."""
    figures = {tolerance.figure for tolerance in TOLERANCES[stage]}
    assert not any("in common" in figure for figure in figures)
    assert limit(stage, "keypoints that rounding does not explain") == 0


@pytest.mark.parametrize("stage", TOLERANCES)
def test_a_largest_error_that_may_grow_with_the_usual_one_stands_beside_a_limit_on_that(stage: str) -> None:
    """Or a fault that is everywhere would excuse itself."""
    figures = {tolerance.figure for tolerance in TOLERANCES[stage]}
    for tolerance in TOLERANCES[stage]:
        if tolerance.usual:
            everywhere = tolerance.figure.replace("largest", "root mean square")
            assert {everywhere, tolerance.usual} & figures


@pytest.mark.parametrize(("tighter", "wider"), [(ONNX_STAGE, IR_STAGE), (ONNX_STAGE, BLOB_STAGE)])
def test_float32_is_held_to_narrower_limits_than_fp16(tighter: str, wider: str) -> None:
    for tolerance in TOLERANCES[tighter]:
        other = limit(wider, tolerance.figure)
        assert tolerance.limit >= other if tolerance.kind == "at_least" else tolerance.limit <= other
