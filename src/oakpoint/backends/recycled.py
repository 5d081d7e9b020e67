"""Memory for a model's outputs that is used again once nobody holds what was in it.

Memory of a megabyte or more that is asked for anew comes from the system page by page, which for the outputs of one
image takes longer than copying them. Here it goes back where it came from instead, with the last array that reads it.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MAX_BYTES = 1 << 25
"""A larger array is not kept, so that one large image does not hold its memory for good."""


class RecycledMemory:
    """Gives arrays of one shape; what an array held is another's only when it and all views of it are gone.

    Args:
        shape: of the arrays.
        dtype: of the arrays.
        most: pieces of memory that are kept while nobody uses them.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, most: int) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        kept = most if math.prod(shape) * self._dtype.itemsize <= MAX_BYTES else 0
        self._unused: deque[NDArray[Any]] = deque(maxlen=kept)

    def array(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """A C-contiguous array with whatever is in it; and its memory, for whoever writes there through a pointer."""
        try:
            memory = self._unused.pop()
        except IndexError:
            memory = np.empty(self._shape, self._dtype)
        loan = _Loan(memory)
        weakref.finalize(loan, self._unused.append, memory).atexit = False
        return np.asarray(loan), memory


class _Loan:
    """What an array and its views hold on to: a plain view would let them hold the memory itself."""

    def __init__(self, memory: NDArray[Any]) -> None:
        self.__array_interface__ = memory.__array_interface__
