"""The Pareto frontier against its definition."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from oakpoint.tune.frontier import frontier, knee, non_dominated
from oakpoint.tune.trial import Interval, Point

NUMBERS = st.one_of(st.floats(0, 4, allow_nan=False), st.integers(0, 3).map(float), st.just(math.nan))
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a != b


def known(pair: tuple[float, float]) -> bool:
    return not any(map(math.isnan, pair))


@given(PAIRS)
def test_nothing_dominates_the_frontier_and_everything_else_is_dominated_or_there_twice(values):
    places = non_dominated(values)
    front = [values[place] for place in places]
    assert not any(dominates(other, pair) for pair in front for other in values if known(other))
    for place, pair in enumerate(values):
        if place not in places and known(pair):
            assert any(dominates(other, pair) or other == pair for other in front)


@given(PAIRS)
def test_it_is_in_order_and_has_nothing_twice(values):
    front = [values[place] for place in non_dominated(values)]
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in itertools.pairwise(front))


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(values, random):
    shuffled = random.sample(values, len(values))
    assert [values[p] for p in non_dominated(values)] == [shuffled[p] for p in non_dominated(shuffled)]


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0.01, 1)), max_size=20))
def test_a_knee_is_on_the_frontier_and_is_no_end_of_it(values):
    points = [
        Point(
            number=number,
            configuration={},
            accuracy=Interval(accuracy, accuracy, accuracy),
            time_ms=Interval(1, 1, 1),
            rate_fps=Interval(rate, rate, rate),
            memory_mb=None,
        )
        for number, (rate, accuracy) in enumerate(values)
    ]
    front = frontier(points)
    found = knee(front)
    if len(front) < 3:
        assert found is None
    elif found is not None:
        assert found in front
