"""Which point a wish selects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oakpoint.errors import UsageError
from oakpoint.tune.frontier import frontier, knee
from oakpoint.tune.trial import Interval, Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of the point.

    Attributes:
        min_accuracy: the fastest with at least this accuracy.
        min_fps: the most accurate with at least this rate; with both, the fastest that has both.
        knee: with neither, the frontier's knee; False selects none.

    Raises:
        UsageError: an accuracy outside (0, 1], a rate that is not positive, or a knee beside one of them.
    """

    min_accuracy: float | None = None
    min_fps: float | None = None
    knee: bool = False

    def __post_init__(self) -> None:
        if self.min_accuracy is not None and not 0 < self.min_accuracy <= 1:
            raise UsageError(f"min-accuracy: expected more than 0 and at most 1, got {self.min_accuracy:g}")
        if self.min_fps is not None and not 0 < self.min_fps < float("inf"):
            raise UsageError(f"min-fps: expected more than 0 frames a second, got {self.min_fps:g}")
        if self.knee and (self.min_accuracy is not None or self.min_fps is not None):
            raise UsageError("knee: is for a search without --min-accuracy and --min-fps; leave one out")

    @property
    def selects(self) -> bool:
        """Whether a point is asked for at all."""
        return self.knee or self.min_accuracy is not None or self.min_fps is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a wish came to.

    Attributes:
        point: the one that was chosen; None where none meets the wish.
        sure: whether its whole intervals meet it.
        nearest: where none does, the one that comes nearest; None where there is no point at all.
    """

    point: Point | None = None
    sure: bool = False
    nearest: Point | None = None


def choose(points: Sequence[Point], wish: Wish) -> Choice:
    """The point that a wish selects.

    Points whose whole intervals meet the wish come first. Only where there is none does one count whose figures meet
    it and whose intervals do not, and ``Choice.sure`` says so.
    """
    front = frontier(points)
    if wish.knee:
        found = knee(front)
        return Choice(point=found, sure=found is not None, nearest=front[-1] if front else None)
    for sure in (True, False):
        if meeting := [point for point in points if _meets(point, wish, sure=sure)]:
            return Choice(point=_best(meeting, wish), sure=sure)
    return Choice(nearest=min(front, key=lambda point: _short(point, wish), default=None))


def _meets(point: Point, wish: Wish, *, sure: bool) -> bool:
    asked = ((point.accuracy, wish.min_accuracy), (point.rate_fps, wish.min_fps))
    return all(least is None or _at_least(found, least, sure=sure) for found, least in asked)


def _at_least(found: Interval, least: float, *, sure: bool) -> bool:
    return (found.low if sure else found.value) >= least


def _best(points: Sequence[Point], wish: Wish) -> Point:
    if wish.min_accuracy is not None:
        return max(points, key=lambda point: (point.rate_fps.value, point.accuracy.value))
    return max(points, key=lambda point: (point.accuracy.value, point.rate_fps.value))


def _short(point: Point, wish: Wish) -> float:
    """By which share a point falls short of a wish, at most of both."""
    asked = ((point.accuracy.value, wish.min_accuracy), (point.rate_fps.value, wish.min_fps))
    return max(1 - value / least for value, least in asked if least is not None)
