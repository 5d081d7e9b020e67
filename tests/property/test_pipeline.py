"""Pipelines: order, errors at their place, closing early, memory; whatever the stages and however they are left."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.pipeline import Stage, _Queue, overlapped

WORKERS = st.lists(st.integers(1, 4), max_size=4)
"""Of each stage."""


class Fault(Exception):
    """Of the items, or of a stage."""


class Items:
    """Numbers from 0 on; notes how many were taken, and whether it was closed."""

    def __init__(self, count: int, fails: bool = False) -> None:
        self.taken = 0
        self.closed = False
        self._count, self._fails = count, fails

    def __iter__(self) -> Iterator[int]:
        return self.numbers()

    def numbers(self) -> Iterator[int]:
        try:
            for number in range(self._count):
                self.taken += 1
                yield number
            if self._fails:
                raise Fault("items")
        finally:
            self.closed = True


def stages(workers: list[int]) -> list[Stage]:
    """Each notes its number behind what it is given."""
    return [Stage(lambda item, number=number: (*item, number), workers=count) for number, count in enumerate(workers)]


def added(number: int, workers: list[int]) -> tuple[int, ...]:
    return (number, *range(len(workers)))


def named(numbers: Iterator[int]) -> Iterator[tuple[int, ...]]:
    with contextlib.closing(numbers):  # type: ignore[type-var]
        for number in numbers:
            yield (number,)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@given(st.integers(0, 30), WORKERS)
def test_every_item_goes_through_every_stage_once_and_in_order(count: int, workers: list[int]) -> None:
    items = Items(count)
    got = list(overlapped(named(items.numbers()), *stages(workers)))
    assert got == [added(number, workers) for number in range(count)]
    assert items.closed


@given(st.integers(0, 12), WORKERS)
def test_an_error_of_the_items_comes_after_all_of_them(count: int, workers: list[int]) -> None:
    got: list[tuple[int, ...]] = []
    with pytest.raises(Fault, match="items"):
        got.extend(overlapped(named(Items(count, fails=True).numbers()), *stages(workers)))
    assert got == [added(number, workers) for number in range(count)]


@given(st.data(), st.integers(1, 15), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_of_errors_the_first_item_s_counts_at_its_place(data: st.DataObject, count: int, workers: list[int]) -> None:
    bad = data.draw(st.dictionaries(st.integers(0, count - 1), st.integers(0, len(workers) - 1), min_size=1))

    def work(item: tuple[int, ...], number: int) -> tuple[int, ...]:
        if bad.get(item[0]) == number:
            raise Fault(f"item {item[0]}")
        return (*item, number)

    failing = [Stage(lambda item, n=n: work(item, n), workers=w) for n, w in enumerate(workers)]
    items = Items(count)
    got: list[tuple[int, ...]] = []
    with pytest.raises(Fault, match=f"item {min(bad)}$"):
        got.extend(overlapped(named(items.numbers()), *failing))
    assert got == [added(number, workers) for number in range(min(bad))]
    assert items.closed


@given(st.integers(0, 10), WORKERS)
def test_one_that_is_left_early_takes_no_more_than_it_may(wanted: int, workers: list[int]) -> None:
    items = Items(1000)
    with contextlib.closing(overlapped(named(items.numbers()), *stages(workers))) as results:
        for number in range(wanted):
            assert next(results) == added(number, workers)
    assert items.taken <= (wanted + 2 + sum(count + 1 for count in workers) if wanted else 0)
    assert items.closed == (wanted > 0), "nothing begins before the first result is asked for"


@given(WORKERS)
def test_an_error_of_whoever_takes_the_results_ends_it(workers: list[int]) -> None:
    items = Items(1000)

    def take() -> None:
        with contextlib.closing(overlapped(named(items.numbers()), *stages(workers))) as results:
            for result in results:
                if result[0] == 3:
                    raise Fault("taker")

    with pytest.raises(Fault, match="taker"):
        take()
    assert items.closed


def test_stages_run_beside_each_other() -> None:
    """Two workers of one stage and one of the next meet at a barrier, which one at a time never would."""
    together = threading.Barrier(3)

    def meet(number: int) -> int:
        if number in (1, 2):
            together.wait(60)
        return number

    def join(number: int) -> int:
        if number == 0:
            together.wait(60)
        return number

    assert list(overlapped(range(6), Stage(meet, workers=2), Stage(join))) == list(range(6))


def test_no_work_is_begun_once_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    at_work, closing = threading.Event(), threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number:
            at_work.set()
            closing.wait(60)
        return number

    def stop(queue: _Queue) -> None:
        stop_queue(queue)
        closing.set()

    stop_queue = _Queue.stop
    monkeypatch.setattr(_Queue, "stop", stop)
    results = overlapped(range(100), Stage(work))
    assert next(results) == 0
    assert at_work.wait(60)
    results.close()
    assert begun == [0, 1]


INTERRUPTED = """
import contextlib, signal, threading, time
from oakpoint.pipeline import Stage, overlapped

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where whoever started this ignores it

def items():
    yield 0
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    time.sleep(0.2)
    yield 1

try:
    with contextlib.closing(overlapped(items(), *[Stage(lambda number: number, workers=2)][:{stages}])) as results:
        list(results)
except KeyboardInterrupt:
    print("heard", threading.active_count())
"""


@pytest.mark.parametrize("stages", [0, 1])
def test_ctrl_c_is_heard_while_a_result_is_waited_for(stages: int) -> None:
    """A real signal, which has to wake the thread that waits; in a process of its own, since one may come late."""
    code = INTERRUPTED.format(stages=stages)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout.strip(), ran.stderr, ran.returncode) == ("heard 1", "", 0)


def test_items_wait_as_far_ahead_as_is_said() -> None:
    begun: list[int] = []
    items = Items(100)
    waiting = Stage(begun.append, workers=2, ahead=7)
    with contextlib.closing(overlapped(items.numbers(), waiting)) as results:
        next(results)
    assert items.taken <= 1 + 2 + 7 + 1
    with pytest.raises(ValueError, match="ahead: expected 1 or more, got 0"):
        Stage(begun.append, ahead=0)


def test_a_stage_has_workers() -> None:
    with pytest.raises(ValueError, match="expected 1 or more, got 0"):
        Stage(lambda item: item, workers=0)
