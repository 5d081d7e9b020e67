"""Frames and results brought together by their sequence numbers."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar, final

Item = TypeVar("Item")

KEPT = 64
"""Frames that wait for their result: two seconds at 30 frames per second, and a network takes a tenth of one."""


@final
class Pairing(Generic[Item]):
    """Keeps frames until the result with their number comes; results come in rising order.

    Attributes:
        newest: the highest number of a frame seen so far; −1 before the first.
    """

    def __init__(self) -> None:
        self.newest = -1
        self._waiting: OrderedDict[int, Item] = OrderedDict()

    def add(self, sequence: int, frame: Item) -> None:
        """Keep a frame; the oldest one goes when too many are waiting."""
        self._waiting[sequence] = frame
        self.newest = max(self.newest, sequence)
        if len(self._waiting) > KEPT:
            self._waiting.popitem(last=False)

    def take(self, sequence: int) -> Item | None:
        """The frame with this number, if it is there; all before it are dropped."""
        for number in [number for number in self._waiting if number < sequence]:
            del self._waiting[number]
        return self._waiting.pop(sequence, None)

    def may_still_come(self, sequence: int) -> bool:
        """Whether the frame with this number can be on its way: frames come in rising order."""
        return self.newest < sequence
