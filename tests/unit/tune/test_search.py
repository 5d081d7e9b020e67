from __future__ import annotations

import itertools
import math

import pytest

from oakpoint.tune.frontier import non_dominated
from oakpoint.tune.search import next_configuration, search
from oakpoint.tune.space import Parameter, Space
from oakpoint.tune.trial import Failed, Interval, Measured, Trial

pytest.importorskip("optuna")

SMALL = Space((Parameter("size", ("8x8", "16x16", "24x24")), Parameter("heads", ("dense", "packed"))))
LARGE = Space(
    (
        Parameter("size", tuple(f"{8 * n}x{8 * n}" for n in range(1, 13))),
        Parameter("threads", (1, 2, 4, 8)),
        Parameter("threshold", (0.01, 0.02, 0.04, 0.08)),
        Parameter("subpixel", ("none", "soft_argmax", "quadratic")),
    )
)


def measure(configuration) -> Measured | Failed:
    """Larger is better and slower; one threshold and one refinement are best; threads do not help beyond 4."""
    side = int(configuration["size"].split("x")[0])
    if side == 40:
        return Failed("40 is not taken")
    accuracy = 1 - 20 / (20 + side)
    accuracy -= 0.1 * abs(configuration.get("threshold", 0.02) - 0.02) / 0.06
    accuracy -= 0.05 * (configuration.get("subpixel") == "none")
    time = side**2 / min(configuration.get("threads", 1), 4)
    return Measured(accuracy=Interval(accuracy, accuracy, accuracy), time=Interval(time, time, time))


def run(space, trials, *, seed=0, tried=(), **options) -> tuple[Trial, ...]:
    return search(space, measure, tried=tried, answered=lambda _: None, seed=seed, trials=trials, **options)


def asked(trials) -> list[tuple]:
    return [tuple(trial.configuration.values()) for trial in trials]


def test_a_small_space_is_tried_as_a_whole_and_each_configuration_once():
    trials = run(SMALL, 20)
    assert [trial.number for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert sorted(asked(trials)) == sorted(tuple(SMALL.at(place).values()) for place in range(6))


def test_nothing_is_tried_twice_in_a_large_one():
    trials = run(LARGE, 40)
    assert len(set(asked(trials))) == len(trials) == 40


def test_the_same_seed_asks_the_same_and_another_something_else():
    assert asked(run(LARGE, 25)) == asked(run(LARGE, 25))
    assert asked(run(LARGE, 25)) != asked(run(LARGE, 25, seed=1))


@pytest.mark.parametrize("killed_after", [1, 7, 14, 24])
def test_a_search_that_goes_on_asks_what_one_without_a_break_asks(killed_after):
    whole = run(LARGE, 25)
    assert asked(run(LARGE, 25, tried=whole[:killed_after])) == asked(whole)


def test_what_comes_first_is_tried_first():
    first = [LARGE.at(700 % LARGE.points), LARGE.at(3)]
    trials = run(LARGE, 4, first=first)
    assert [trial.configuration for trial in trials[:2]] == first


def test_a_search_among_failures_goes_on():
    space = Space(
        (Parameter("size", ("40x40",)), Parameter("threads", (1, 2, 4, 8)), Parameter("shaves", tuple(range(9))))
    )
    trials = run(space, 20)
    assert len(set(asked(trials))) == 20
    assert all(isinstance(trial.outcome, Failed) for trial in trials)
    assert next_configuration(space, trials, seed=0, trials=100) is not None


def test_no_trial_begins_after_the_time_is_over():
    seconds = itertools.count(step=20)  # every look at the clock takes 20 s
    trials = run(LARGE, 100, minutes=3, clock=lambda: float(next(seconds)))
    assert 1 <= len(trials) <= 4


def test_it_finds_more_than_the_same_number_drawn_at_random(rng):
    """The area that the frontier covers, against the mean of ten random searches of the same length."""
    guided = [covered(run(LARGE, 60, seed=seed)) for seed in range(3)]
    drawn = []
    for _ in range(10):
        places = rng.choice(LARGE.points, 60, replace=False)
        drawn.append(covered([trial_of(LARGE.at(int(place))) for place in places]))
    assert sum(guided) / len(guided) > sum(drawn) / len(drawn)


def trial_of(configuration) -> Trial:
    return Trial(number=1, configuration=configuration, outcome=measure(configuration), seconds=0.0)


def covered(trials) -> float:
    """The area below the frontier, over the logarithm of the rate."""
    slowest = math.log(96**2)
    values = [
        (math.log(trial.outcome.relative_rate) + slowest, trial.outcome.accuracy.value)
        for trial in trials
        if isinstance(trial.outcome, Measured)
    ]
    area, before = 0.0, 0.0
    for rate, accuracy in (values[place] for place in non_dominated(values)):
        area += (rate - before) * accuracy
        before = rate
    return area
