from __future__ import annotations

import math

import pytest

from oakpoint.errors import DataError
from oakpoint.tune.trial import (
    Failed,
    Interval,
    Measured,
    Trial,
    outcome_from,
    outcome_text,
    points_of,
    reasons_of,
)

NAN, INF = float("nan"), float("inf")


def trial(number: int, outcome) -> Trial:
    return Trial(number=number, configuration={"size": "64x64"}, outcome=outcome, seconds=1.0)


def test_an_outcome_is_the_same_after_it_was_text():
    for outcome in (
        Measured(accuracy=Interval(0.5, 0.4, 0.6), time=Interval(2.0, 1.0, INF), frames_at_once=2, memory_mb=3.5),
        Measured(accuracy=Interval(0.5, 0.4, 0.6), time=Interval(2.0, 1.0, 3.0), reference_ms=7.0),
        Failed("layer 'x' is not taken"),
    ):
        assert outcome_from(outcome_text(outcome)) == outcome
    one_pair = Measured(accuracy=Interval(0.5, NAN, NAN), time=Interval(1.0, NAN, NAN))
    assert math.isnan(outcome_from(outcome_text(one_pair)).accuracy.low)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"accuracy": [1], "time": [1, 1, 1]}', '{"accuracy": 3}'])
def test_other_texts_are_refused(text):
    with pytest.raises(DataError, match="outcome of a trial"):
        outcome_from(text)


def test_measured_times_are_ratios_to_one_reference_however_slow_its_minutes_were():
    accuracy = Interval(0.5, 0.4, 0.6)
    slow = Measured(accuracy=accuracy, time=Interval(2.0, 1.9, 2.1), reference_ms=30.0)
    usual = Measured(accuracy=accuracy, time=Interval(1.0, 0.9, 1.1), reference_ms=10.0)
    points = points_of([trial(1, slow), trial(2, usual), trial(3, Failed("no")), trial(4, usual)])
    assert [point.number for point in points] == [1, 2, 4]
    assert [point.time_ms.value for point in points] == [20.0, 10.0, 10.0]
    assert points[0].rate_fps.value == pytest.approx(50)
    assert points[0].rate_fps.low == pytest.approx(1e3 / 21)


def test_estimates_are_taken_as_they_are_with_their_frames_side_by_side():
    known = Measured(accuracy=Interval(0.5, 0.4, 0.6), time=Interval(10.0, 7.0, 13.0), frames_at_once=2)
    bound = Measured(accuracy=Interval(0.5, 0.4, 0.6), time=Interval(10.0, 7.0, INF), frames_at_once=2)
    first, second = points_of([trial(1, known), trial(2, bound)])
    assert (first.time_ms.value, first.rate_fps.value) == (10.0, 200.0)
    assert first.rate_fps.low == pytest.approx(2e3 / 13)
    assert second.rate_fps.low == 0
    assert first.alike(second)


def test_points_are_told_apart_by_either_figure():
    near = Measured(accuracy=Interval(0.5, 0.45, 0.55), time=Interval(1.0, 0.9, 1.1))
    slower = Measured(accuracy=Interval(0.5, 0.45, 0.55), time=Interval(1.3, 1.2, 1.4))
    worse = Measured(accuracy=Interval(0.3, 0.2, 0.4), time=Interval(1.0, 0.9, 1.1))
    a, b, c = points_of([trial(1, near), trial(2, slower), trial(3, worse)])
    assert a.alike(a)
    assert not a.alike(b)
    assert not a.alike(c)


def test_reasons_are_counted():
    outcomes = [Failed("a"), Failed("b"), Failed("a")]
    assert reasons_of([trial(n, outcome) for n, outcome in enumerate(outcomes)]) == {"a": 2, "b": 1}
