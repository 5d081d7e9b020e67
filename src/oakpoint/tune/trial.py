"""One configuration, and what came of trying it: accuracy and time with their intervals, or why it could not be had."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from oakpoint.errors import DataError

Value = int | float | str
Configuration = Mapping[str, Value]
"""Parameters by name, such as ``{"size": "320x240", "threads": 2}``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it may be as well.

    Attributes:
        value: the figure.
        low: lower end; NaN where nothing is known of it.
        high: upper end; NaN likewise, infinite where only a lower bound is known.
    """

    value: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two may be the same; an interval of which nothing is known may be anything."""
        return not (self.low > other.high or self.high < other.low)

    def times(self, factor: float) -> Interval:
        """All three numbers multiplied with a positive factor."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def inverse(self) -> Interval:
        """A rate from a time, or the other way round; of a bound without an upper end, the lower end is 0."""
        return Interval(1 / self.value, _one_over(self.high), _one_over(self.low))

    def facts(self) -> dict[str, float | None]:
        """For JSON, which knows neither NaN nor infinity."""
        return {
            name: number if math.isfinite(number) else None
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a configuration gives.

    Attributes:
        accuracy: the figure of accuracy in [0, 1], higher is better, with its 95 % interval over images or pairs.
        time: of one image: estimated, in ms; or measured, over that of the reference in the same minutes.
        reference_ms: median time of the reference meanwhile; None of an estimate, whose ``time`` is in ms.
        frames_at_once: images that are worked on side by side, each in ``time``.
        memory_mb: what the network takes for one image, in MB of 10⁶ bytes, as estimated; None where nobody knows.
    """

    accuracy: Interval
    time: Interval
    reference_ms: float | None = None
    frames_at_once: int = 1
    memory_mb: float | None = None

    @property
    def relative_rate(self) -> float:
        """Images over time, in whatever unit."""
        return self.frames_at_once / self.time.value


@dataclass(frozen=True, slots=True)
class Failed:
    """A configuration that cannot be had, and why."""

    reason: str


Outcome = Measured | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A configuration that was tried.

    Attributes:
        number: from 1 on, in the order in which they were tried.
        configuration: what was tried.
        outcome: what came of it.
        seconds: how long that took.
    """

    number: int
    configuration: Configuration
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A trial with its time in ms and its rate.

    Attributes:
        number: of the trial.
        configuration: what was tried.
        accuracy: see ``Measured``.
        time_ms: of one image.
        rate_fps: images a second.
        memory_mb: see ``Measured``.
    """

    number: int
    configuration: Configuration
    accuracy: Interval
    time_ms: Interval
    rate_fps: Interval
    memory_mb: float | None

    def alike(self, other: Point) -> bool:
        """Whether neither accuracy nor rate tells the two apart."""
        return self.accuracy.overlaps(other.accuracy) and self.rate_fps.overlaps(other.rate_fps)


def points_of(trials: Iterable[Trial]) -> tuple[Point, ...]:
    """The trials that gave something, times in ms.

    Measured times are ratios to a reference that ran in between. What that takes on this machine is the median over all
    trials, so that a slow minute moves no point against the others.
    """
    measured = [(trial, trial.outcome) for trial in trials if isinstance(trial.outcome, Measured)]
    references = [outcome.reference_ms for _, outcome in measured if outcome.reference_ms is not None]
    unit_ms = median(references) if references else 1.0
    return tuple(_point(trial, outcome, unit_ms) for trial, outcome in measured)


def _point(trial: Trial, outcome: Measured, unit_ms: float) -> Point:
    time_ms = outcome.time.times(unit_ms)
    return Point(
        number=trial.number,
        configuration=trial.configuration,
        accuracy=outcome.accuracy,
        time_ms=time_ms,
        rate_fps=time_ms.inverse().times(1e3 * outcome.frames_at_once),
        memory_mb=outcome.memory_mb,
    )


def reasons_of(trials: Sequence[Trial]) -> dict[str, int]:
    """Why configurations failed, and how many for each reason, in the order in which they came."""
    counts: dict[str, int] = {}
    for trial in trials:
        if isinstance(trial.outcome, Failed):
            counts[trial.outcome.reason] = counts.get(trial.outcome.reason, 0) + 1
    return counts


def outcome_text(outcome: Outcome) -> str:
    """An outcome as text, from which ``outcome_from`` makes the same one."""
    if isinstance(outcome, Failed):
        return json.dumps({"failed": outcome.reason})
    numbers = {name: _numbers(getattr(outcome, name)) for name in ("accuracy", "time")}
    others = {name: getattr(outcome, name) for name in ("reference_ms", "frames_at_once", "memory_mb")}
    return json.dumps({**numbers, **others})  # NaN and Infinity are Python's own words here


def outcome_from(text: str) -> Outcome:
    """See ``outcome_text``.

    Raises:
        DataError: something else.
    """
    try:
        read: dict[str, Any] = json.loads(text)
        if "failed" in read:
            return Failed(str(read["failed"]))
        accuracy, time = (Interval(*map(float, read.pop(name))) for name in ("accuracy", "time"))
        return Measured(accuracy=accuracy, time=time, **read)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"expected the outcome of a trial, got {text[:60]!r}") from error


def _one_over(number: float) -> float:
    return 1 / number if number else math.nan


def _numbers(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high
