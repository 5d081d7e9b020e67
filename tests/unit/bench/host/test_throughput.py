from __future__ import annotations

import threading
from itertools import count

import numpy as np
import pytest

from oakpoint.bench.host.opening import Clock, Opened
from oakpoint.bench.host.subject import Image
from oakpoint.bench.host.throughput import MOST_STREAMS, Flow, Flowing, flow_of
from oakpoint.errors import BackendError
from oakpoint.features.types import Features

IMAGES = [np.zeros((8, 8), np.uint8)]
FOUND = Features(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 4), np.float32), (8, 8))


class Counting(Opened):
    """Counts its runs; with a barrier, a run waits until as many are under way."""

    description = "counting"

    def __init__(self, in_flight: int = 2, barrier: threading.Barrier | None = None) -> None:
        self.in_flight, self.runs, self._barrier, self._lock = in_flight, 0, barrier, threading.Lock()

    def run(self, image: Image) -> Features:
        if self._barrier is not None:
            self._barrier.wait(30)
        with self._lock:
            self.runs += 1
        return FOUND

    def staged(self, image: Image, clock: Clock) -> dict[str, float]:
        raise NotImplementedError

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("threads", "cores", "asked", "flow"),
    [
        (1, 2, None, Flow(streams=2, in_flight=2)),
        (2, 2, None, Flow(streams=1, in_flight=2)),
        (4, 2, None, Flow(streams=1, in_flight=2)),
        (1, 64, None, Flow(streams=MOST_STREAMS, in_flight=MOST_STREAMS)),
        (1, 64, 16, Flow(streams=16, in_flight=16)),
        (1, 64, 1, Flow(streams=1, in_flight=2)),
    ],
)
def test_as_many_models_as_cores_have_room_for(threads: int, cores: int, asked: int | None, flow: Flow) -> None:
    assert flow_of(Counting(), threads, cores, asked) == flow


def test_a_loop_over_images_has_one_under_way() -> None:
    assert flow_of(Counting(in_flight=1), 1, 8, 4) == Flow(streams=1, in_flight=1)


@pytest.mark.parametrize("models", [1, 3])
def test_so_many_are_under_way_at_once(models: int) -> None:
    """Each run waits for two others: with fewer under way there would be no end."""
    barrier = threading.Barrier(3)
    counting = [Counting(barrier=barrier) for _ in range(models)]
    ticks = count()
    with Flowing(counting, 3) as flowing:
        rate = flowing.turn(IMAGES, 0.25, lambda: float(next(ticks)))(0)
    assert rate == 3.0, "three images within one tick of the clock"
    assert sum(each.runs for each in counting) == 6, "as many again come before those that are timed"
    assert all(each.runs for each in counting)


def test_what_fails_in_a_thread_is_raised() -> None:
    class Failing(Counting):
        def run(self, image: Image) -> Features:
            raise BackendError("the run failed")

    with Flowing([Failing()], 2) as flowing, pytest.raises(BackendError, match="the run failed"):
        flowing.turn(IMAGES, 0.1, lambda: 0.0)(0)
