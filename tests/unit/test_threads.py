"""Settings of the process: counted over threads, put back in whatever order they go."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import cv2
import numpy as np
import pytest

from oakpoint import threads
from oakpoint.features import matching
from oakpoint.features.types import Features
from oakpoint.threads import BlasBound, BlasLibrary, SharedSetting, cores, one_blas_thread, one_opencv_thread


class Value:
    """A setting of the process."""

    def __init__(self) -> None:
        self.value = "original"
        self.setting = SharedSetting(self.change)

    def change(self) -> Callable[[], None]:
        before, self.value = self.value, "changed"
        assert before == "original", "changed twice"
        return lambda: setattr(self, "value", before)


class Held:
    """A block that a thread of its own is within."""

    def __init__(self, block: AbstractContextManager[None]) -> None:
        self._entered, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(block,))
        self._thread.start()
        assert self._entered.wait(60)

    def _hold(self, block: AbstractContextManager[None]) -> None:
        with block:
            self._entered.set()
            assert self._leave.wait(60)

    def end(self) -> None:
        self._leave.set()
        self._thread.join(60)


def hammer(work: Callable[[int], None], workers: int = 6) -> None:
    """Let so many threads do some work, all of them starting at once."""
    together = threading.Barrier(workers)

    def start(number: int) -> None:
        together.wait(60)
        work(number)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(start, range(workers)):
            pass


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_the_last_to_go_puts_it_back(first_to_go: int) -> None:
    value = Value()
    held = [Held(value.setting.held()), Held(value.setting.held())]
    assert value.value == "changed"
    held.pop(first_to_go).end()
    assert value.value == "changed"
    held.pop().end()
    assert value.value == "original"


def test_an_error_puts_it_back_and_blocks_may_lie_within_each_other() -> None:
    value = Value()
    with pytest.raises(ZeroDivisionError), value.setting.held(), value.setting.held():
        raise ZeroDivisionError
    assert value.value == "original"


def test_many_threads_leave_it_as_it_was() -> None:
    value = Value()

    def work(_: int) -> None:
        for _ in range(300):
            with value.setting.held():
                time.sleep(0)  # another thread's turn
                assert value.value == "changed"

    hammer(work)
    assert value.value == "original"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_in_a_forked_process_what_other_threads_held_is_put_back() -> None:
    value = Value()
    other = Held(value.setting.held())
    child = os.fork()
    if child == 0:
        free = value.value == "original"
        with value.setting.held():
            os._exit(0 if free and value.value == "changed" else 1)
    other.end()
    assert os.waitpid(child, 0)[1] == 0
    assert value.value == "original"


class Counts:
    """A library's number of threads: one for the process, or one for each thread."""

    def __init__(self, *, per_thread: bool) -> None:
        self._mine, self._everybodys = threading.local(), 4
        self.per_thread = per_thread

    def get(self) -> int:
        return getattr(self._mine, "count", 4) if self.per_thread else self._everybodys

    def set(self, count: int) -> None:
        if self.per_thread:
            self._mine.count = count
        else:
            self._everybodys = count

    @property
    def library(self) -> BlasLibrary:
        return BlasLibrary(self.get, self.set, self.per_thread)


@pytest.mark.parametrize("per_thread", [False, True])
def test_each_thread_is_bounded_and_every_number_put_back(per_thread: bool) -> None:
    counts = Counts(per_thread=per_thread)
    bound = BlasBound(lambda: [counts.library])

    def work(_: int) -> None:
        for _ in range(200):
            with bound.held():
                assert counts.get() == 1
                with bound.held():
                    time.sleep(0)  # another thread's turn
                    assert counts.get() == 1
                assert counts.get() == 1
        assert counts.get() == 4 or not per_thread

    hammer(work)
    assert counts.get() == 4


def test_what_somebody_else_sets_meanwhile_stays() -> None:
    counts = Counts(per_thread=False)
    with BlasBound(lambda: [counts.library]).held():
        counts.set(3)
    assert counts.get() == 3


@pytest.fixture
def numpys_library() -> Iterator[BlasLibrary]:
    """NumPy's own, with two threads."""
    library = next(iter(threads._blas_libraries()), None)
    if library is None:
        pytest.skip("threadpoolctl knows no BLAS library here")
    before = library.count()
    library.set_count(2)
    if library.count() != 2:
        pytest.skip("this BLAS library has one thread only")
    yield library
    library.set_count(before)


@pytest.mark.parametrize("first_to_go", [0, 1])
def test_numpys_blas_has_its_threads_again_whichever_goes_first(numpys_library: BlasLibrary, first_to_go: int) -> None:
    held = [Held(one_blas_thread()), Held(one_blas_thread())]
    if not numpys_library.per_thread:
        assert numpys_library.count() == 1
    held.pop(first_to_go).end()
    held.pop().end()
    assert numpys_library.count() == 2


def test_matching_wakes_no_threads(numpys_library: BlasLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    distinct = matching._distinct
    monkeypatch.setattr(matching, "_distinct", lambda rows: (seen.append(numpys_library.count()), distinct(rows))[1])
    descriptors = np.eye(8, dtype=np.float32)
    features = Features(np.zeros((8, 2), np.float32), np.ones(8, np.float32), descriptors, (64, 64))
    assert len(matching.match(features, features)) == 8
    assert seen == [1, 1]
    assert numpys_library.count() == 2


def test_cores() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_opencv_is_bounded_for_as_long_as_anyone_needs_it() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        with one_opencv_thread():
            assert cv2.getNumThreads() == 1
            other = Held(one_opencv_thread())
        assert cv2.getNumThreads() == 1
        other.end()
        assert cv2.getNumThreads() == 3
        with one_opencv_thread():
            cv2.setNumThreads(2)  # somebody else, meanwhile
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
