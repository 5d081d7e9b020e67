"""A model that would take more memory than there is, refused before it is opened."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

from oakpoint.errors import UsageError
from oakpoint.memory import available_bytes, gigabytes

_MARGIN = 0.9
"""Share of the memory allowed that an advised size fills: the estimate is one, and other programs run as well."""


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What a model may take for one image.

    Attributes:
        needed: estimates the bytes for images of (W, H) pixels (``activations.memory_bytes``); None: nobody knows.
        stated_gb: what is allowed, in GB of 10⁹ bytes; None: as much as is free when the model is opened
            (``memory.available_bytes``).

    Raises:
        UsageError: a limit that is not a positive number.
    """

    needed: Callable[[tuple[int, int]], int | None]
    stated_gb: float | None = None

    def __post_init__(self) -> None:
        if self.stated_gb is not None and not 0 < self.stated_gb < math.inf:
            raise UsageError(f"max_memory_gb: expected a positive number of GB, got {self.stated_gb}")

    def allows(self, size: tuple[int, int], runs: int) -> bool:
        """Whether there is memory for so many runs at a time, of images of (W, H) pixels; True where nobody knows."""
        needed, free = self.needed(size), available_bytes()
        return needed is None or free is None or runs * needed <= free

    def refusal(self, size: tuple[int, int], *, native: bool) -> str | None:
        """Why a model may not be opened for images of (W, H) pixels, and what to do; None where it may.

        Args:
            size: of the tensor.
            native: the size is the image's own, so that a longest side can be asked for.
        """
        needed = self.needed(size)
        allowed = available_bytes() if self.stated_gb is None else round(self.stated_gb * 1e9)
        if needed is None or allowed is None or needed <= allowed:
            return None
        side = 8 * math.floor(max(size) * math.sqrt(_MARGIN * allowed / needed) / 8)
        smaller = "choose a smaller size"
        if native and side >= 8:
            smaller = f"scale images down with --max-side {side} (in Python max_side={side})"
        enough = -(-11 * needed // 10**9) / 10  # a tenth more, rounded up
        there = "are free" if self.stated_gb is None else "are allowed"
        return (
            f"{size[0]}×{size[1]} px take the network about {gigabytes(needed)} of memory, and {gigabytes(allowed)} "
            f"{there}; {smaller}, or allow it with --max-memory {enough:g} (max_memory_gb={enough:g})"
        )


@final
class MemoryShares:
    """Lets as many runs go side by side as there is memory for, or a large one alone.

    Args:
        count: how many runs there is memory for, where none of them is large; 1 leaves it to the callers.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = count
        self._changed = threading.Condition()

    @contextmanager
    def held(self, *, alone: bool) -> Iterator[None]:
        """Memory for one run within the block, waited for."""
        if self._count == 1:
            yield
            return
        share = self._count if alone else 1
        with self._changed:
            self._changed.wait_for(lambda: self._free >= share)
            self._free -= share
        try:
            yield
        finally:
            with self._changed:
                self._free += share
                self._changed.notify_all()
