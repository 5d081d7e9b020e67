from __future__ import annotations

import math

import numpy as np
import pytest

from oakpoint.tune.speed import LEAST_ROUNDS, MOST_ROUNDS, measured_against, median_interval

IMAGES = [np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)]


class Machine:
    """A clock that runs take time on, as long as they say, on a machine that gets slower all the time."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def run(self, name: str, seconds: float):
        def call(image):
            self.calls.append((name, int(image[0, 0])))
            self.now += seconds * (1 + self.now)

        return call

    def clock(self) -> float:
        return self.now


def test_drift_is_in_neither():
    machine = Machine()
    speed = measured_against(machine.run("r", 0.001), machine.run("c", 0.003), IMAGES, clock=machine.clock)
    assert speed.relative.value == pytest.approx(3, rel=0.01)
    assert speed.relative.low <= speed.relative.value <= speed.relative.high
    assert speed.reference_ms == pytest.approx(1, rel=0.2)


def test_both_see_the_same_images_by_turns():
    machine = Machine()
    measured_against(machine.run("r", 1e-6), machine.run("c", 1e-6), IMAGES, clock=machine.clock)
    timed = machine.calls[4:]
    assert len(timed) == 2 * MOST_ROUNDS
    for number, (a, b) in enumerate(zip(timed[::2], timed[1::2], strict=True)):
        assert {a[0], b[0]} == {"r", "c"}
        assert a[1] == b[1] == number % 2
    assert {a[0] for a in timed[::2]} == {"r", "c"}  # neither always comes first


def test_a_slow_network_is_measured_a_few_times():
    machine = Machine()
    measured_against(machine.run("r", 1.0), machine.run("c", 1.0), IMAGES, clock=machine.clock)
    assert len(machine.calls) == 4 + 2 * LEAST_ROUNDS


def test_the_interval_of_a_median_against_a_published_table():
    """Ranks for 95 %: n = 6: 1 and 6; n = 9: 2 and 8; n = 20: 6 and 15 (Conover 1999, table A3 gives these)."""
    for n, low, high in ((6, 1, 6), (9, 2, 8), (20, 6, 15)):
        found = median_interval([float(v) for v in range(n, 0, -1)])
        assert (found.low, found.high) == (low, high)
    assert math.isnan(median_interval([1.0, 2.0, 3.0, 4.0, 5.0]).low)


def test_the_interval_holds_the_median_as_often_as_it_says(rng):
    draws = rng.exponential(size=(2000, 15))
    held = [found.low <= np.log(2) <= found.high for found in map(median_interval, draws.tolist())]
    assert np.mean(held) > 0.94
