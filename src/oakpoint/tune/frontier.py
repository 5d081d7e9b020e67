"""The Pareto frontier: what nothing else beats in one thing without losing in the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from oakpoint.tune.trial import Point


def non_dominated(values: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the pairs that no other one dominates, the first number ascending.

    One dominates another where neither of its numbers is less and one is more. Of equal pairs the first is taken.

    Args:
        values: pairs of numbers, of which more is better; one with a NaN is left out.
    """
    known = [place for place, pair in enumerate(values) if not any(map(math.isnan, pair))]
    order = sorted(known, key=lambda place: (-values[place][0], -values[place][1], place))
    kept: list[int] = []
    best = -math.inf
    for place in order:
        if values[place][1] > best or not kept:
            kept.append(place)
            best = values[place][1]
    return kept[::-1]


def frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that no other one beats in accuracy and rate, the slowest first."""
    places = non_dominated([(point.rate_fps.value, point.accuracy.value) for point in points])
    return tuple(points[place] for place in places)


def alike(points: Sequence[Point]) -> dict[int, tuple[int, ...]]:
    """For each point, by its number, the numbers of those that neither accuracy nor rate tells from it."""
    return {
        point.number: tuple(o.number for o in points if o.number != point.number and point.alike(o)) for point in points
    }


def knee(front: Sequence[Point]) -> Point | None:
    """The point of a frontier that lies farthest above the line between its two ends; None with fewer than three.

    Rates are taken by their logarithm, since twice as fast is worth the same anywhere.

    Source: the maximum distance to the line between the extremes, as in Branke et al. 2004, «Finding Knees in
    Multi-objective Optimization»; for a single curve Satopää et al. 2011, «Finding a Kneedle in a Haystack».
    """
    if len(front) < 3:
        return None
    x = [math.log(point.rate_fps.value) for point in front]
    y = [point.accuracy.value for point in front]
    width, height = x[-1] - x[0], y[0] - y[-1]
    if width <= 0 or height <= 0:
        return None
    above = [(a - x[0]) / width + (b - y[-1]) / height for a, b in zip(x, y, strict=True)]
    return front[max(range(len(front)), key=above.__getitem__)]
