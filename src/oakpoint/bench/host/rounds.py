"""Measuring in rounds: in each, every contender has its turn, in an order that is drawn anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np

from oakpoint.bench.host.opening import Clock
from oakpoint.errors import OakpointError

FEWEST_ROUNDS: Final = 3
"""Where seconds decide: with fewer, a median is one of the outer values or their mean."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """When a measurement is long enough.

    Attributes:
        rounds: how many; None: as many as there is time for, at least ``FEWEST_ROUNDS``.
        seconds: how long, where ``rounds`` is None.
    """

    rounds: int | None
    seconds: float

    @property
    def total(self) -> float:
        """Rounds or seconds, whatever decides."""
        return float(self.seconds if self.rounds is None else self.rounds)

    def done(self, rounds: int, seconds: float) -> float:
        """How far of ``total`` it has come; never beyond."""
        return min(float(seconds if self.rounds is None else rounds), self.total)

    def over(self, rounds: int, seconds: float) -> bool:
        """Whether it is long enough after so many rounds and seconds."""
        if self.rounds is not None:
            return rounds >= self.rounds
        return rounds >= FEWEST_ROUNDS and seconds >= self.seconds


@dataclass(slots=True)
class Rounds(Generic[T]):
    """What came of the rounds that were finished.

    Attributes:
        turns: by contender, one for each round, in their order.
        failed: contenders that failed on the way, and why; they have no turns.
        interrupt: Ctrl-C, if it ended the measurement.
    """

    turns: dict[str, list[T]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupt: KeyboardInterrupt | None = None


def in_rounds(
    turns: Mapping[str, Callable[[int], T]],
    length: Length,
    *,
    rng: np.random.Generator,
    clock: Clock,
    progress: Callable[[float], object],
) -> Rounds[T]:
    """Let all contenders have their turns, round by round.

    What makes a machine slow for a while (another program, heat) makes all contenders of a round slow, and as their
    order is drawn anew each time, none of them stands behind the same other one always.

    Args:
        turns: by contender, what it does in its turn of a round (from 0) and gives. One that raises ``OakpointError``
            is out of the measurement from its first round on.
        length: when to end; only whole rounds count.
        rng: draws the orders.
        clock: seconds, monotonic.
        progress: is told how far of ``length.total`` it has come.
    """
    found: Rounds[T] = Rounds({name: [] for name in turns})
    start_s, number = clock(), 0
    try:
        while found.turns and not length.over(number, clock() - start_s):
            names = list(found.turns)
            given: dict[str, T] = {}
            for index in rng.permutation(len(names)):
                name = names[index]
                try:
                    given[name] = turns[name](number)
                except OakpointError as error:
                    found.failed[name] = str(error)
            for name in found.failed:
                found.turns.pop(name, None)
            for name, turn in given.items():
                found.turns[name].append(turn)
            number += 1
            progress(length.done(number, clock() - start_s))
    except KeyboardInterrupt as interrupt:
        found.interrupt = interrupt
    return found


def repeats_for(one_s: float, turn_s: float, most: int) -> int:
    """How often something that takes so long is done in a turn that is to take about ``turn_s``; at least once."""
    return most if one_s * most <= turn_s else max(math.ceil(turn_s / one_s), 1)
