"""The outcome of a search for people and machines: words of a configuration, rows, facts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oakpoint.evaluate.intervals import CONFIDENCE
from oakpoint.myriad.cost import UNCERTAINTY
from oakpoint.tune.command import commands
from oakpoint.tune.frontier import alike, frontier, knee
from oakpoint.tune.space import Target
from oakpoint.tune.trial import Configuration, Failed, Interval, Point, Trial, reasons_of
from oakpoint.tune.tuning import Found, TuneOptions

SHORT = {"max_keypoints": "budget", "nms_radius_px": "NMS px"}
"""What parameters are called for people where their names are long."""

ALIKE_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is shown of a search.

    Attributes:
        options: what was asked for.
        found: what came of it.
        front: the points that no other one beats, the slowest first.
        model_words: options that were given of the model beside its name.
    """

    options: TuneOptions
    found: Found
    front: tuple[Point, ...]
    model_words: Sequence[str] = ()

    @property
    def target(self) -> Target:
        """What it was searched for."""
        return self.options.target

    @property
    def estimated(self) -> bool:
        """Whether times are estimates."""
        return self.target == "oak"

    def commands_of(self, point: Point) -> tuple[str, str]:
        """See ``command.commands``."""
        tuned = self.options.tuned
        return commands(
            self.target, point.configuration, model=tuned.model, model_words=self.model_words, images=tuned.images
        )

    @property
    def shown(self) -> tuple[Point, ...]:
        """The frontier, and the chosen point where it is not on it, the slowest first."""
        points = {point.number: point for point in (*self.front, self.found.choice.point) if point is not None}
        return tuple(sorted(points.values(), key=lambda point: point.rate_fps.value))

    def alike(self) -> dict[int, tuple[int, ...]]:
        """For each point of the frontier and the chosen one, which others of them it cannot be told from."""
        return alike(self.shown)

    def wish_words(self) -> str:
        """What was asked for; empty where no point was."""
        wish = self.options.wish
        asked = [] if wish.min_accuracy is None else [f"{self.found.setup.judge.name} of {wish.min_accuracy:g} or more"]
        asked += [] if wish.min_fps is None else [f"{wish.min_fps:g} frames/s or more"]
        return "the frontier's knee" if wish.knee else " and ".join(asked)

    def fresh_words(self) -> str:
        """What the chosen point came to on pairs that nothing was chosen by; empty where that was not measured."""
        fresh, wish = self.found.fresh, self.options.wish
        if fresh is None:
            return ""
        short = wish.min_accuracy is not None and fresh.value < wish.min_accuracy
        return f"{share_text(fresh)} on other views of the same images" + (
            ", less than was asked for: choose with a margin, or with more images" if short else ""
        )

    def verdict(self) -> str:
        """What the wish came to, in a sentence without its full stop."""
        choice, asked = self.found.choice, self.wish_words()
        if choice.point is not None:
            first = (
                f"point {choice.point.number} is {asked}"
                if self.options.wish.knee
                else (f"point {choice.point.number} has {asked}: {point_words(choice.point)}")
            )
            return first if choice.sure else f"{first}; not for certain, {_why_unsure(choice.point)}"
        if choice.nearest is None:
            return f"nothing that was tried could be measured, so no point has {asked}"
        if self.options.wish.knee:
            return f"the frontier has no knee: {len(self.front)} points, or all on a line"
        return f"no point has {asked}; the nearest is point {choice.nearest.number}: {point_words(choice.nearest)}"


def _why_unsure(point: Point) -> str:
    if math.isnan(point.accuracy.low):
        return "as its accuracy has no interval, which takes two images or more"
    return "as its intervals reach below that"


def outcome_of(options: TuneOptions, found: Found, model_words: Sequence[str]) -> Outcome:
    """What is shown of a search."""
    return Outcome(options=options, found=found, front=frontier(found.points), model_words=model_words)


def point_words(point: Point) -> str:
    """A point's figures in a few words."""
    return f"accuracy {share_text(point.accuracy)}, {rate_text(point.rate_fps)} frames/s"


def configuration_words(configuration: Configuration) -> str:
    """A configuration in a line."""
    return ", ".join(f"{SHORT.get(name, name)} {value}" for name, value in configuration.items())


def searched(outcome: Outcome, point: Point) -> Configuration:
    """Of a point's configuration what was not the same for all."""
    parameters = outcome.found.setup.space.parameters
    return {p.name: point.configuration[p.name] for p in parameters if len(p.values) > 1}


def share_text(interval: Interval) -> str:
    """A share with its interval."""
    if math.isnan(interval.low):
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def rate_text(interval: Interval) -> str:
    """A rate or a time with its interval; one that is a bound says so."""
    value = _digits(interval.value)
    if math.isnan(interval.low) or math.isnan(interval.high):
        return value
    if interval.low == 0:
        return f"≤ {_digits(interval.high)} ({value})"
    if math.isinf(interval.high):
        return f"≥ {_digits(interval.low)} ({value})"
    return f"{value} [{_digits(interval.low)}, {_digits(interval.high)}]"


def _digits(number: float) -> str:
    """Three significant digits, as a plain number."""
    if not number or not math.isfinite(number):
        return f"{number:g}"
    return f"{number:.{max(0, 2 - math.floor(math.log10(abs(number))))}f}"


def alike_text(numbers: Sequence[int]) -> str:
    """Numbers of points that cannot be told from one; the first of them."""
    more = f" and {len(numbers) - ALIKE_SHOWN} more" if len(numbers) > ALIKE_SHOWN else ""
    return ", ".join(map(str, numbers[:ALIKE_SHOWN])) + more


def time_basis(outcome: Outcome) -> str:
    """What times are, in a sentence."""
    if outcome.estimated:
        return f"Times are estimated from the blob, ±{UNCERTAINTY:.0%}; decoding on the host and USB are not in them."
    return (
        "Times are measured on this machine, one image at a time, by turns with the smallest configuration; intervals "
        f"are of the median, {CONFIDENCE:.0%}."
    )


def facts(outcome: Outcome) -> dict[str, Any]:
    """Everything for machines; what is not known is null."""
    found, options = outcome.found, outcome.options
    by_number = {point.number: point for point in found.points}
    best = knee(outcome.front)
    chosen, near = found.choice.point, found.choice.nearest
    return {
        "model": options.tuned.model,
        "target": options.target,
        "images": {"folder": str(options.tuned.images), "used": len(found.setup.photographs)},
        "accuracy": {"figure": found.setup.judge.name, "of": found.setup.judge.basis, "confidence": CONFIDENCE},
        "time": time_basis(outcome),
        "seed": options.seed,
        "space": found.setup.space.facts(),
        "configurations": found.setup.space.points,
        "asked": {
            "min_accuracy": options.wish.min_accuracy,
            "min_fps": options.wish.min_fps,
            "knee": options.wish.knee,
        },
        "trials": [_trial_facts(trial, by_number.get(trial.number)) for trial in found.trials],
        "frontier": [point.number for point in outcome.front],
        "alike": {str(number): list(others) for number, others in outcome.alike().items()},
        "knee": None if best is None else best.number,
        "chosen": None if chosen is None else chosen.number,
        "fresh_accuracy": None if found.fresh is None else found.fresh.facts(),
        "sure": found.choice.sure if chosen is not None else None,
        "nearest": None if near is None else near.number,
        "commands": list(outcome.commands_of(chosen)) if chosen is not None else [],
        "failures": reasons_of(found.trials),
        "interrupted": found.interrupt is not None,
        "notes": list(found.setup.notes),
    }


def _trial_facts(trial: Trial, point: Point | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "number": trial.number,
        "configuration": dict(trial.configuration),
        "seconds": trial.seconds,
    }
    if isinstance(trial.outcome, Failed):
        return told | {"failed": trial.outcome.reason}
    assert point is not None
    return told | {
        "accuracy": point.accuracy.facts(),
        "time_ms": point.time_ms.facts(),
        "rate_fps": point.rate_fps.facts(),
        "memory_mb": point.memory_mb,
    }
