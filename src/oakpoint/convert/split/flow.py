"""The cheapest way to cut a graph of capacities in two, exactly: a largest flow, by shortest augmenting paths."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

UNCUT: Final = 2**62
"""The capacity of what must not be cut; far above the sum of any real ones."""


class Capacities:
    """Directed edges with whole-number capacities between two ends.

    Source: Edmonds and Karp, «Theoretical improvements in algorithmic efficiency for network flow problems», 1972; that
    a largest flow and a cheapest cut are equal: Ford and Fulkerson, 1956.
    """

    def __init__(self, source: Hashable, sink: Hashable) -> None:
        """Take the two ends, which a cut parts."""
        self._source, self._sink = source, sink
        self._left: dict[Hashable, dict[Hashable, int]] = {source: {}, sink: {}}

    def add(self, start: Hashable, end: Hashable, capacity: int) -> None:
        """Add an edge: where ``start`` is on the source's side and ``end`` is not, a cut costs its capacity."""
        there = self._left.setdefault(start, {})
        there[end] = min(there.get(end, 0) + capacity, UNCUT)
        self._left.setdefault(end, {}).setdefault(start, 0)

    def source_side(self) -> set[Hashable]:
        """What is on the source's side of a cheapest cut; of several such cuts, of the one that leaves it the most.

        Changes the capacities to what a largest flow leaves of them: to be asked once.
        """
        while path := self._path():
            pushed = min(self._left[start][end] for start, end in path)
            for start, end in path:
                self._left[start][end] -= pushed
                self._left[end][start] += pushed
        return set(self._left) - self._reaching_the_sink()

    def _path(self) -> list[tuple[Hashable, Hashable]]:
        """A shortest way from source to sink on which something can still flow; empty where there is none."""
        before: dict[Hashable, Hashable] = {self._source: self._source}
        waiting = deque([self._source])
        while waiting:
            here = waiting.popleft()
            for there, left in self._left[here].items():
                if left > 0 and there not in before:
                    before[there] = here
                    if there == self._sink:
                        return self._way(before)
                    waiting.append(there)
        return []

    def _way(self, before: dict[Hashable, Hashable]) -> list[tuple[Hashable, Hashable]]:
        path, here = [], self._sink
        while here != self._source:
            path.append((before[here], here))
            here = before[here]
        return path

    def _reaching_the_sink(self) -> set[Hashable]:
        into: dict[Hashable, list[Hashable]] = {}
        for start, ends in self._left.items():
            for end, left in ends.items():
                if left > 0:
                    into.setdefault(end, []).append(start)
        found, waiting = {self._sink}, [self._sink]
        while waiting:
            for start in into.get(waiting.pop(), ()):
                if start not in found:
                    found.add(start)
                    waiting.append(start)
        return found
