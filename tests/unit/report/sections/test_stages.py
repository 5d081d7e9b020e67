from __future__ import annotations

import math
from typing import Literal

import pytest

from oakpoint.bundle.records import Check, StageReport, Verdict
from oakpoint.report.parts.blocks import Badge, Bar, Folded, Table
from oakpoint.report.sections.stages import MOST_FIGURES, number_text, stage_blocks


def check(value: float, limit: float, kind: Literal["at_least", "at_most"], passed: bool, name: str = "f") -> Check:
    return Check(name=name, value=value, limit=limit, kind=kind, passed=passed)


@pytest.mark.parametrize(
    ("found", "share"),
    [
        (check(0.2, 0.4, "at_most", True), 0.5),
        (check(0.8, 0.4, "at_most", False), 2.0),
        (check(0.9999, 0.9998, "at_least", True), 0.5),
        (check(0.9, 0.95, "at_least", False), 2.0),
        (check(0.0, 0.0, "at_most", True), 0.0),
        (check(3.0, 0.0, "at_most", False), 1.0),
        (check(1.0, 1.0, "at_least", True), 0.0),
    ],
)
def test_how_much_of_a_tolerance_is_used(found: Check, share: float) -> None:
    report = StageReport(stage="a → b", verdict=Verdict.PASS, summary="s", checks=(found,))
    table = next(block for block in stage_blocks(report, {}) if isinstance(block, Table))
    *_, mark, bar = table.rows[0]
    assert isinstance(mark, Badge)
    assert mark.tone == ("pass" if found.passed else "fail")
    assert isinstance(bar, Bar)
    assert bar.share == pytest.approx(share)


def test_a_figure_that_could_not_be_measured_has_no_bar_and_fails() -> None:
    report = StageReport(
        stage="a → b", verdict=Verdict.FAIL, summary="s", checks=(check(math.nan, 1, "at_most", False),)
    )
    table = next(block for block in stage_blocks(report, {}) if isinstance(block, Table))
    assert table.rows[0][1] == "–"
    assert table.rows[0][-1] == "–"


def test_an_infinite_limit_is_told_as_one() -> None:
    found = check(math.inf, math.inf, "at_most", True)
    report = StageReport(stage="a → b", verdict=Verdict.FAIL, summary="s", checks=(found,))
    table = next(block for block in stage_blocks(report, {}) if isinstance(block, Table))
    assert table.rows[0][1:3] == ["∞", "≤ ∞"]


def test_of_thousands_of_figures_the_failed_ones_are_shown() -> None:
    checks = tuple(check(0, 1, "at_most", True, f"n{n}") for n in range(3000))
    failed = check(2, 1, "at_most", False, "bad")
    report = StageReport(stage="a → b", verdict=Verdict.FAIL, summary="s", checks=(*checks, failed))
    table = next(block for block in stage_blocks(report, {"bad": "why"}) if isinstance(block, Table))
    assert len(table.rows) == MOST_FIGURES
    assert table.left_out == 3001 - MOST_FIGURES
    assert table.rows[0][0].lines == ["bad", "why"]  # type: ignore[union-attr]


def test_figures_without_a_tolerance_are_behind_a_line() -> None:
    report = StageReport(stage="a → b", verdict=Verdict.PASS, summary="s", figures={"x": 1.5, "y": math.inf})
    folded = next(block for block in stage_blocks(report, {}) if isinstance(block, Folded))
    assert folded.title.startswith("2 more figures")


def test_numbers_in_words() -> None:
    assert [number_text(value) for value in (0.0, 1 / 3, math.nan, math.inf, -math.inf)] == [
        "0", "0.333333", "–", "∞", "−∞",
    ]  # fmt: skip
