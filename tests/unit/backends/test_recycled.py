"""Memory is used again when nobody can read it any more, and not before."""

from __future__ import annotations

import gc

import numpy as np

from oakpoint.backends import recycled
from oakpoint.backends.recycled import RecycledMemory


def test_memory_comes_back_with_the_last_view_of_it() -> None:
    given = RecycledMemory((2, 3), np.float32, most=2)
    array, memory = given.array()
    array[...] = 7
    view = np.asarray(memoryview(array[1:].T))
    del array
    other, other_memory = given.array()
    assert other_memory is not memory
    other[...] = 1
    assert (view == 7).all()
    del view
    gc.collect()
    again, again_memory = given.array()
    assert again_memory is memory
    assert np.shares_memory(again, memory)
    assert again.flags.c_contiguous
    assert again.flags.writeable
    assert (again.shape, again.dtype) == ((2, 3), np.float32)


def test_no_more_is_kept_than_asked_for() -> None:
    given = RecycledMemory((4,), np.float32, most=1)
    pieces = [given.array() for _ in range(3)]
    memories = [memory for _, memory in pieces]
    del pieces
    gc.collect()
    taken = [given.array() for _ in range(3)]
    assert sum(memory is former for _, memory in taken for former in memories) == 1


def test_large_arrays_are_not_kept() -> None:
    given = RecycledMemory((recycled.MAX_BYTES // 4 + 1,), np.float32, most=4)
    memory = given.array()[1]
    gc.collect()
    assert given.array()[1] is not memory
