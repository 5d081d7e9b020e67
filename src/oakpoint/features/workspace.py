"""Large arrays that a thread uses again for each image of one size.

Memory of a megabyte or more goes back to the system when it is freed, and comes page by page when it is asked for
again: for the arrays of one heat map that takes half as long as the arithmetic on them.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MAX_BYTES = 1 << 25
"""A larger array is not kept, so that one large image does not hold its memory for good."""


class Workspace(threading.local):
    """Arrays by name, each thread its own. What is in one is gone with the next call for the same name."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A C-contiguous array with whatever is in it, never one that the caller's caller sees.

        Args:
            name: of the use: two arrays that are wanted at a time have two names.
            shape: of the array.
            dtype: of the array.
        """
        kept = self._arrays.get(name)
        if kept is not None and kept.shape == shape and kept.dtype == dtype:
            return kept
        made = np.empty(shape, dtype)
        if math.prod(shape) * made.itemsize <= MAX_BYTES:
            self._arrays[name] = made
        else:
            self._arrays.pop(name, None)
        return made


WORKSPACE = Workspace()
"""What decoding works in."""
