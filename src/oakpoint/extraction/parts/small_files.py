"""Small files, which are read or written side by side: a store answers each after some 30 ms."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from oakpoint.pipeline import Stage, overlapped

FILES_AT_ONCE = 16
"""As many requests are under way."""

_A = TypeVar("_A")
_B = TypeVar("_B")


def side_by_side(call: Callable[[_A], _B], given: Iterable[_A]) -> Iterator[_B]:
    """The results of a call on small files, in their order."""
    requests = Stage(call, FILES_AT_ONCE, "files", ahead=2 * FILES_AT_ONCE - 1)
    with contextlib.closing(overlapped(given, requests)) as results:
        yield from results
