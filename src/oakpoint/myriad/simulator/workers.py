"""Threads that share the rows of a convolution.

BLAS's own threads are switched off meanwhile: for blocks of this size they gain nothing on a quiet machine, and on a
busy one, where they wait for each other by spinning, they cost ten times the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.threads import cores, one_blas_thread

T = TypeVar("T")

MAX_DEFAULT_THREADS: Final = 4


def default_threads() -> int:
    """Processors that this process may use, up to ``MAX_DEFAULT_THREADS``."""
    return min(cores(), MAX_DEFAULT_THREADS)


class Workers:
    """Some threads, each with a piece of memory of its own to work in.

    Raises:
        UsageError: fewer than one thread.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise UsageError(f"threads: expected at least 1, got {threads}")
        self._pool = ThreadPoolExecutor(threads, "simulator") if threads > 1 else None
        self._local = threading.local()

    def run(self, work: Callable[[T], None], pieces: Sequence[T]) -> None:
        """Do ``work`` for every piece, in any order; the first error is raised."""

        def quiet(piece: T) -> None:
            with np.errstate(all="ignore"), one_blas_thread():  # which both may be each thread's own
                work(piece)

        if self._pool is None or len(pieces) < 2:
            for piece in pieces:
                quiet(piece)
        else:
            for _ in self._pool.map(quiet, pieces):
                pass

    def scratch(self, elements: int) -> NDArray[np.float64]:
        """Memory of this thread, valid until it asks again; what it holds is anything."""
        held: NDArray[np.float64] | None = getattr(self._local, "memory", None)
        if held is None or held.size < elements:
            held = np.empty(elements)
            self._local.memory = held
        return held[:elements]
