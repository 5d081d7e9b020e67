from __future__ import annotations

import pytest

from oakpoint.errors import UsageError
from oakpoint.tune.chosen import Wish, choose
from oakpoint.tune.trial import Interval, Point


def point(number: int, accuracy: float, rate: float, *, spread: float = 0.05) -> Point:
    return Point(
        number=number,
        configuration={},
        accuracy=Interval(accuracy, accuracy - spread, accuracy + spread),
        time_ms=Interval(1e3 / rate, 0.9e3 / rate, 1.1e3 / rate),
        rate_fps=Interval(rate, rate * 0.9, rate * 1.1),
        memory_mb=None,
    )


POINTS = [point(1, 0.9, 10), point(2, 0.8, 20), point(3, 0.7, 40), point(4, 0.5, 80), point(5, 0.4, 30)]


def test_the_fastest_whose_whole_interval_is_accurate_enough():
    choice = choose(POINTS, Wish(min_accuracy=0.64))
    assert (choice.point.number, choice.sure) == (3, True)
    assert choose(POINTS, Wish(min_accuracy=0.68)).point.number == 2  # point 3 might have 0.65


def test_where_no_interval_reaches_the_figure_counts_and_is_not_sure():
    choice = choose(POINTS, Wish(min_accuracy=0.88))
    assert (choice.point.number, choice.sure) == (1, False)


def test_the_most_accurate_that_is_fast_enough():
    assert choose(POINTS, Wish(min_fps=30)).point.number == 3
    assert choose(POINTS, Wish(min_fps=39)).point.number == 4  # point 3 might have 36
    choice = choose(POINTS, Wish(min_fps=80))
    assert (choice.point.number, choice.sure) == (4, False)


def test_both_together():
    assert choose(POINTS, Wish(min_accuracy=0.6, min_fps=15)).point.number == 3
    choice = choose(POINTS, Wish(min_accuracy=0.75, min_fps=30))
    assert choice.point is None
    assert choice.nearest.number == 3  # short by 7 % in the one thing alone


def test_where_none_meets_it_the_nearest_is_told():
    choice = choose(POINTS, Wish(min_accuracy=0.95))
    assert (choice.point, choice.nearest.number, choice.sure) == (None, 1, False)
    assert choose(POINTS, Wish(min_fps=200)).nearest.number == 4
    assert choose([], Wish(min_fps=200)).nearest is None


def test_the_knee():
    points = [point(1, 0.9, 10), point(2, 0.88, 40), point(3, 0.3, 80)]
    assert choose(points, Wish(knee=True)).point.number == 2
    assert choose(points[:2], Wish(knee=True)).point is None


@pytest.mark.parametrize(
    "wish", [{"min_accuracy": 0.0}, {"min_accuracy": 1.2}, {"min_fps": 0.0}, {"min_fps": -3.0},
             {"min_fps": float("inf")}, {"min_fps": 3.0, "knee": True}]
)  # fmt: skip
def test_wishes_that_cannot_be_meant(wish):
    with pytest.raises(UsageError):
        Wish(**wish)
