"""Calls that wait for a disk or a store, made side by side ahead of who needs their results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

FILES_AT_ONCE = 16
"""Small files that are read or written side by side: a store answers each after some 30 ms."""

_A = TypeVar("_A")
_B = TypeVar("_B")


def ahead(pool: ThreadPoolExecutor, call: Callable[[_A], _B], given: Iterable[_A], depth: int) -> Iterator[_B]:
    """The results of a call for each of what is given, in its order; as many as ``depth`` are worked at ahead."""
    left = iter(given)
    waiting = deque(pool.submit(call, each) for each in islice(left, depth))
    while waiting:
        result = waiting.popleft().result()
        waiting.extend(pool.submit(call, each) for each in islice(left, 1))
        yield result


def side_by_side(call: Callable[[_A], _B], given: Iterable[_A]) -> Iterator[_B]:
    """The results of a call on small files, in their order."""
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        yield from ahead(pool, call, given, 2 * FILES_AT_ONCE)
