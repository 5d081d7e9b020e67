from __future__ import annotations

import pytest

from oakpoint.verify.stages import LOOK_FOR
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    BLOB_TOLERANCES_BY_HEADS,
    CAMERA_STAGE,
    CONSTANTS_OF_BLOB,
    IR_STAGE,
    ONNX_STAGE,
    TIE,
    TOLERANCES,
    Tolerance,
    tolerances_of,
)

ALL = [(stage, tolerance) for stage, tolerances in TOLERANCES.items() for tolerance in tolerances]
ALL.append((BLOB_STAGE, CONSTANTS_OF_BLOB))


def limit(stage: str, figure: str) -> float:
    return next(tolerance.limit for tolerance in TOLERANCES[stage] if tolerance.figure == figure)


@pytest.mark.parametrize(("stage", "tolerance"), ALL, ids=lambda value: getattr(value, "figure", value))
def test_every_tolerance_has_its_reason(stage: str, tolerance: Tolerance) -> None:
    assert len(tolerance.reason) > 10
    assert tolerance.limit == tolerance.limit


def test_every_stage_has_tolerances_and_a_tie() -> None:
    assert {ONNX_STAGE, IR_STAGE, BLOB_STAGE} <= set(TOLERANCES)
    assert set(TIE) >= set(TOLERANCES)


@pytest.mark.parametrize("stage", TOLERANCES)
def test_no_figure_stands_twice(stage: str) -> None:
    figures = [tolerance.figure for tolerance in TOLERANCES[stage]]
    assert len(figures) == len(set(figures))


@pytest.mark.parametrize("heads", BLOB_TOLERANCES_BY_HEADS)
def test_heads_of_their_own_tolerances_are_judged_by_the_same_figures(heads: str) -> None:
    own = {tolerance.figure: tolerance for tolerance in BLOB_TOLERANCES_BY_HEADS[heads]}
    assert list(own) == [tolerance.figure for tolerance in TOLERANCES[BLOB_STAGE]]
    assert all(len(tolerance.reason) > 5 for tolerance in own.values())


@pytest.mark.parametrize("heads", [*BLOB_TOLERANCES_BY_HEADS, "dense", "rtabmap"])
def test_a_camera_is_held_to_the_limits_of_its_blob(heads: str) -> None:
    blob, camera = (
        [(tolerance.figure, tolerance.kind, tolerance.limit) for tolerance in tolerances_of(stage, heads)]
        for stage in (BLOB_STAGE, CAMERA_STAGE)
    )
    assert blob == camera


def test_other_stages_have_one_set_of_limits() -> None:
    assert tolerances_of(IR_STAGE, "packed") == TOLERANCES[IR_STAGE]


def test_what_was_promised_of_the_onnx() -> None:
    """«The same set of keypoints and cosine ≥ 0.99999.»"""
    assert limit(ONNX_STAGE, "keypoints in common at 0 px, ties aside") == 1.0
    assert limit(ONNX_STAGE, "smallest descriptor cosine") == 0.99999


def test_what_was_promised_of_the_ir() -> None:
    """«≥ 99 % in common at 0 px, all within 1 px but for ties at the threshold, cosine ≥ 0.9999.»"""
    assert limit(IR_STAGE, "keypoints in common at 0 px") == 0.99
    assert limit(IR_STAGE, "keypoints in common at 1 px, ties aside") == 1.0
    assert limit(IR_STAGE, "mean descriptor cosine") == 0.9999


def test_hints_are_about_figures_that_have_a_tolerance() -> None:
    assert set(LOOK_FOR) <= {tolerance.figure for _, tolerance in ALL}
