"""How long one image takes, one at a time, and where the time goes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from oakpoint.bench.host.opening import Clock, Opened
from oakpoint.bench.host.rounds import repeats_for
from oakpoint.bench.host.subject import Image

TURN_S: Final = 0.1
MOST_REPEATS: Final = 10
"""A turn takes about so long, or so many runs: fast ways are timed more often, and a slow one once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A contender's turn of one round.

    Attributes:
        total_s: from the image to its result; the median of the turn's runs.
        stages_s: of one more run, see ``opening.STAGES``.
    """

    total_s: float
    stages_s: dict[str, float]


def latency_turn(opened: Opened, images: Sequence[Image], clock: Clock) -> Callable[[int], Turn]:
    """What a contender does in its turn: one run that is not timed, some that are, and one in stages.

    All of a round are on the same image. The first run of a turn is not timed, as what ran before had other weights in
    the processor's caches, and its threads may still be awake.

    Args:
        opened: the contender, warm.
        images: taken in turn.
        clock: seconds, monotonic.
    """

    def run(image: Image) -> float:
        start_s = clock()
        opened.run(image)
        return clock() - start_s

    def turn(number: int) -> Turn:
        image = images[number % len(images)]
        repeats = repeats_for(run(image), TURN_S, MOST_REPEATS)
        total_s = statistics.median(run(image) for _ in range(repeats))
        return Turn(total_s=total_s, stages_s=opened.staged(image, clock))

    return turn
