from __future__ import annotations

import pytest

from oakpoint.verify.stages import LOOK_FOR
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    CAMERA_STAGE,
    FINITE,
    IR_STAGE,
    ONNX_STAGE,
    SCORE_FLOOR,
    TOLERANCES,
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
    assert {ONNX_STAGE, IR_STAGE, BLOB_STAGE} <= set(TOLERANCES)
    assert set(SCORE_FLOOR) >= set(TOLERANCES)


@pytest.mark.parametrize("stage", TOLERANCES)
def test_no_figure_stands_twice(stage: str) -> None:
    figures = [tolerance.figure for tolerance in TOLERANCES[stage]]
    assert len(figures) == len(set(figures))


def test_a_camera_is_held_to_the_limits_of_its_blob() -> None:
    blob, camera = (
        [(tolerance.figure, tolerance.kind, tolerance.limit, tolerance.usual) for tolerance in TOLERANCES[stage]]
        for stage in (BLOB_STAGE, CAMERA_STAGE)
    )
    assert [row for row in blob if "constants" not in row[0]] == camera, "a camera shows no constants"
    assert len(blob) == len(camera) + 1


@pytest.mark.parametrize("stage", TOLERANCES)
def test_whether_outputs_are_numbers_comes_first(stage: str) -> None:
    assert TOLERANCES[stage][0].figure == FINITE


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


def test_hints_are_about_figures_that_have_a_tolerance() -> None:
    assert set(LOOK_FOR) <= {tolerance.figure for _, tolerance in ALL}
