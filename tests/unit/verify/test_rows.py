"""Rows that two sides have in common, whatever their order."""

from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import BackendError
from oakpoint.verify.rows import RowsInCommon
from oakpoint.verify.tensors import TensorAgreement
from oakpoint.verify.tolerances import BLOB_STAGE

RNG = np.random.default_rng(6)
BOXES = RNG.random((1, 12, 4)).astype(np.float32)


def share(*pairs: tuple[np.ndarray, np.ndarray], within: float = 0.01) -> float:
    rows = RowsInCommon(within)
    for pair in pairs:
        rows.add(*pair)
    return rows.share()


def test_neither_order_nor_rounding_counts() -> None:
    turned = BOXES[:, ::-1] + np.float32(0.001)
    assert share((BOXES, turned)) == 1
    assert share((BOXES, turned), within=1e-4) == 0


def test_rows_that_are_missing_or_too_many_or_others_count() -> None:
    assert share((BOXES, BOXES[:, :9])) == 0.75
    assert share((BOXES[:, :9], BOXES)) == 0.75
    changed = BOXES.copy()
    changed[0, :3] = 2
    assert share((BOXES, changed)) == 0.75
    assert share((BOXES, BOXES[:, :9]), (BOXES, BOXES)) == 21 / 24
    assert share((np.ones((1, 2, 4)), np.ones((1, 2, 3)))) == 0


def test_a_row_has_one_counterpart() -> None:
    assert share((np.ones((1, 4, 2)), np.concatenate([np.ones((1, 1, 2)), np.zeros((1, 3, 2))], 1))) == 0.25


def test_whole_numbers_are_equal_or_not() -> None:
    places = np.array([[4000, 17, 3]])
    assert share((places, places[:, ::-1])) == 1
    assert share((places, places + np.array([[1, 0, 0]]))) == pytest.approx(2 / 3)


def test_nothing_on_both_sides_is_the_same() -> None:
    nothing = np.zeros((0, 3), np.int64)
    assert share((nothing, nothing)) == 1
    assert share((nothing, np.ones((2, 3), np.int64))) == 0


def test_a_comparison_judges_selected_outputs_by_their_rows_and_others_as_ever() -> None:
    scores = RNG.random((1, 4, 8, 8)).astype(np.float32)
    kept = np.arange(12).reshape(4, 3)
    agreement = TensorAgreement(BLOB_STAGE, selected=frozenset({"kept"}))
    agreement.add([{"scores": scores, "kept": kept}], [{"scores": scores, "kept": kept[[3, 0, 1]]}])
    figures = agreement.figures()
    assert figures["share of the rows of kept in common"] == 0.75
    assert figures["cosine of scores"] == pytest.approx(1)
    limits = {tolerance.figure: tolerance for tolerance in agreement.tolerances()}
    assert limits["share of the rows of kept in common"].limit > 0.75
    assert "75.0% of the rows in common" in agreement.success(figures)
    with pytest.raises(BackendError, match="output kept: expected shape"):
        TensorAgreement(BLOB_STAGE).add([{"kept": kept}], [{"kept": kept[:2]}])
