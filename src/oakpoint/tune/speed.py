"""How fast a configuration is on this machine: it and a reference by turns, so that what slows both is in neither."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.tune.trial import Interval

LEAST_ROUNDS, MOST_ROUNDS = 9, 41
LONGEST_S: Final = 4.0
"""After this a measurement ends, as soon as it has ``LEAST_ROUNDS``."""

WARM_UP: Final = 2
CONFIDENCE: Final = 0.95

Run = Callable[[NDArray[np.uint8]], Any]


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured.

    Attributes:
        relative: time of one image over the reference's, the median of the rounds with its 95 % interval.
        reference_ms: median time of the reference meanwhile.
    """

    relative: Interval
    reference_ms: float


def measured_against(
    reference: Run,
    candidate: Run,
    images: Sequence[NDArray[np.uint8]],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Time two predictors by turns, one image at a time, each of them warm.

    In each round both see the same image, and the one that begins changes; the ratio of the two is the round's figure.

    Args:
        reference: what the other is compared with.
        candidate: what is measured.
        images: at least one; round by round the next one, and the first one again.
        clock: gives seconds.
    """
    for run in (reference, candidate):
        for _ in range(WARM_UP):
            run(images[0])
    ratios: list[float] = []
    references: list[float] = []
    start = clock()
    while len(ratios) < LEAST_ROUNDS or (len(ratios) < MOST_ROUNDS and clock() - start < LONGEST_S):
        image = images[len(ratios) % len(images)]
        if len(ratios) % 2:
            mine, theirs = _seconds(candidate, image, clock), _seconds(reference, image, clock)
        else:
            theirs, mine = _seconds(reference, image, clock), _seconds(candidate, image, clock)
        ratios.append(mine / max(theirs, 1e-9))
        references.append(theirs)
    return Speed(median_interval(ratios), 1e3 * median(references))


def _seconds(run: Run, image: NDArray[np.uint8], clock: Callable[[], float]) -> float:
    start = clock()
    run(image)
    return clock() - start


def median_interval(values: Sequence[float]) -> Interval:
    """The median, and the order statistics between which that of the distribution lies at 95 %, whatever its form.

    Args:
        values: independent measurements; with fewer than six no two of them are that sure, and the ends are NaN.

    Source: the binomial interval of a quantile, e.g. Conover 1999, «Practical Nonparametric Statistics», section 3.2.
    """
    ordered, n = sorted(values), len(values)
    below = 0.0  # probability that fewer than `rank` values lie below the median
    rank = 0
    while rank <= n // 2 and below + math.comb(n, rank) / 2**n <= (1 - CONFIDENCE) / 2:
        below += math.comb(n, rank) / 2**n
        rank += 1
    if not rank:
        return Interval(median(ordered), math.nan, math.nan)
    return Interval(median(ordered), ordered[rank - 1], ordered[n - rank])
