from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.bench.markdown import markdown_table
from oakpoint.bench.statistics import facts_of, percentile, spread_of, times_as_fast

TIMES = st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=40)


@given(TIMES)
def test_quartiles_enclose_the_median_and_lie_within_the_values(values: list[float]) -> None:
    found = spread_of(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found.count == len(values)
    half = sum(value <= found.median + 1e-12 for value in values)
    assert half >= len(values) / 2


@given(TIMES, st.floats(0.01, 100))
def test_another_unit_scales_the_spread_and_leaves_the_relative_one(values: list[float], factor: float) -> None:
    one, other = spread_of(values), spread_of([factor * value for value in values])
    assert other.median == pytest.approx(factor * one.median)
    assert other.relative == pytest.approx(one.relative, abs=1e-9)


def test_a_known_spread() -> None:
    found = spread_of([1, 2, 3, 4, 100])
    assert (found.low, found.median, found.high, found.relative) == (2, 3, 4, pytest.approx(2 / 3))
    assert percentile([1, 2, 3], 100) == 3


@given(st.lists(st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)), min_size=2, max_size=20), st.floats(0.1, 10))
def test_a_ratio_lies_within_its_interval_and_this_within_the_rounds(
    rounds: list[tuple[float, float]], slow: float
) -> None:
    """A round that is slow for both changes nothing."""
    base, other = zip(*rounds, strict=True)
    found = times_as_fast(base, other, seed=1)
    ratios = [a / b for a, b in rounds]
    assert min(ratios) - 1e-12 <= found.low <= found.high <= max(ratios) + 1e-12
    slowed = times_as_fast([slow * base[0], *base[1:]], [slow * other[0], *other[1:]], seed=1)
    assert (slowed.value, slowed.low, slowed.high) == pytest.approx((found.value, found.low, found.high))


def test_a_ratio_is_that_of_the_rounds_not_of_the_medians() -> None:
    """In each round the other is twice as fast, however slow a round is."""
    base = [2.0, 20.0, 4.0, 200.0]
    found = times_as_fast(base, [time / 2 for time in base], seed=0)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


def test_one_round_has_no_interval_and_is_json_still() -> None:
    found = times_as_fast([3.0], [1.0], seed=0)
    assert math.isnan(found.low)
    assert json.loads(json.dumps(facts_of(found), allow_nan=False)) == {
        "value": 3.0, "low": None, "high": None, "rounds": 1,
    }  # fmt: skip


def test_cells_are_one_line() -> None:
    assert markdown_table(("a", "b"), [("x|y", "1\n 2")]) == "| a | b |\n|---|---|\n| x\\|y | 1 2 |\n"
