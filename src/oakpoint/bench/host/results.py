"""What came of a measurement, for people's tables and for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from oakpoint.bench.host.contenders import Contender
from oakpoint.bench.host.costs import Cost
from oakpoint.bench.host.rounds import Length
from oakpoint.bench.host.subject import Subject
from oakpoint.bench.host.throughput import Flow
from oakpoint.bench.statistics import Spread, facts_of
from oakpoint.evaluate.intervals import Estimate

SCHEMA: Final = 1

NOISY: Final = 0.1
"""Where the middle half of a row's rounds is wider than this share of its median, something else was at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Images a second with several under way.

    Attributes:
        rate: images a second, over rounds.
        times: as many as the base's, round by round; None without a base at this number of threads.
        flow: how many models and images that were.
    """

    rate: Spread
    times: Estimate | None
    flow: Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A contender's figures.

    Attributes:
        contender: the way and its threads.
        model: MODEL that ran.
        runtime: runtime, version, device and precision.
        latency_ms: one image at a time, over rounds.
        rounds_ms: the same, of each round.
        stages_ms: of each of ``opening.STAGES``, over rounds.
        times: how many times as fast as the base, round by round; None without a base at this number of threads.
        throughput: with several images under way; None: not measured.
        cost: by itself in a process; None: not measured; a text: why it could not be.
        found: how many keypoints or boxes an image, in the mean; None of what is not counted.
        example: what was found in the first image, in words.
    """

    contender: Contender
    model: str
    runtime: str
    latency_ms: Spread
    rounds_ms: tuple[float, ...]
    stages_ms: Mapping[str, Spread]
    times: Estimate | None
    throughput: Throughput | None = None
    cost: Cost | str | None = None
    found: float | None = None
    example: str = ""

    def facts(self) -> dict[str, Any]:
        """The same for machines."""
        flow = self.throughput
        return {
            "name": self.contender.way.name,
            "threads": self.contender.threads,
            "model": self.model,
            "runtime": self.runtime,
            "precision": self.contender.way.precision,
            "latency_ms": self.latency_ms.facts(),
            "rounds_ms": list(self.rounds_ms),
            "stages_ms": {name: spread.facts() for name, spread in self.stages_ms.items()},
            "times_as_fast": _or_none(self.times),
            "throughput": flow and {
                "images_per_s": flow.rate.facts(),
                "times_as_many": _or_none(flow.times),
                "streams": flow.flow.streams,
                "in_flight": flow.flow.in_flight,
            },
            "cost": {"error": self.cost} if isinstance(self.cost, str) else self.cost and self.cost.facts(),
            "found_mean": self.found,
            "found_in_first": self.example,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A contender without figures, and why, in a line."""

    contender: Contender
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Everything that was measured.

    Attributes:
        subject: what was measured.
        base: the way that ratios are to, each at the same number of threads.
        rows: in the order of the contenders.
        left_out: those without figures.
        rounds: how many there were, one image at a time.
        length: how long it was to be.
        seed: of the orders and of the bootstrap.
        machine: see ``machine.machine_facts``.
        interrupt: Ctrl-C, for the caller to raise once the figures are told.
    """

    subject: Subject
    base: str
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    rounds: int
    length: Length
    seed: int
    machine: Mapping[str, Any]
    interrupt: KeyboardInterrupt | None = None

    @property
    def noisy(self) -> tuple[Row, ...]:
        """Rows whose rounds lie far apart; see ``NOISY``."""
        return tuple(row for row in self.rows if row.latency_ms.relative > NOISY)

    def notes(self) -> list[str]:
        """What has to be known to read the figures: noise, Ctrl-C, and why rows are missing, each reason once."""
        notes = []
        if self.interrupt is not None:
            notes.append("interrupted: fewer rounds than asked for, and what comes after them is missing")
        if self.noisy:
            widest = max(row.latency_ms.relative for row in self.noisy)
            notes.append(
                f"noisy: in {len(self.noisy)} of {len(self.rows)} rows the middle half of the rounds spans more than "
                f"{NOISY:.0%} of the median (up to {widest:.0%}); something else ran on this machine, so take the "
                "ratios, not the times"
            )
        return notes + [f"left out: {name}: {reason}" for name, reason in self.why_left_out()]

    def why_left_out(self) -> dict[tuple[str, str], list[int]]:
        """Numbers of threads, by way and reason."""
        found: dict[tuple[str, str], list[int]] = {}
        for item in self.left_out:
            found.setdefault((item.contender.way.name, item.reason), []).append(item.contender.threads)
        return found

    def facts(self) -> dict[str, Any]:
        """The same for machines."""
        subject = self.subject
        return {
            "schema": SCHEMA,
            "measured_on": "host",
            "machine": dict(self.machine),
            "network": {
                "model": subject.ours.model,
                "task": subject.task.name,
                "size": list(subject.ours.size),
                "weights": str(subject.ours.said.weights) if subject.ours.said.weights else None,
                "tutorial": subject.theirs and subject.theirs.model,
                "images": list(subject.images),
            },
            "measuring": {
                "rounds": self.rounds,
                "rounds_asked_for": self.length.rounds,
                "seconds": self.length.seconds,
                "seed": self.seed,
                "interrupted": self.interrupt is not None,
                "noisy": [row.contender.label for row in self.noisy],
            },
            "base": self.base,
            "rows": [row.facts() for row in self.rows],
            "left_out": [
                {"name": item.contender.way.name, "threads": item.contender.threads, "reason": item.reason}
                for item in self.left_out
            ],
        }


def _or_none(found: Estimate | None) -> dict[str, float | int | None] | None:
    return None if found is None else facts_of(found)
