"""From what was measured on pairs to the figures that are shown, with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from oakpoint.errors import UsageError
from oakpoint.evaluate.evaluation import Evaluation, PairResult, Row
from oakpoint.evaluate.intervals import CONFIDENCE, RESAMPLES, Estimate, Figure, difference, estimate
from oakpoint.evaluate.protocol import Protocol

MAIN_FIGURE = {"p1": "repeatability", "p2": "correct_3px", "p3": "mma_3px"}
"""The one figure of each protocol that a picture shows."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure of one extractor."""

    protocol: Protocol
    label: str
    figure: Figure
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one extractor less that of another, on the same pairs."""

    protocol: Protocol
    label: str
    baseline: str
    figure: Figure
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Summary:
    """All figures.

    Attributes:
        evaluation: what they were computed from.
        entries: by protocol, extractor, figure.
        differences: by protocol, pair of extractors, figure; the later extractor less the earlier one.
        seed: of the bootstrap's draws.
        resamples: how many draws.
    """

    evaluation: Evaluation
    entries: tuple[Entry, ...]
    differences: tuple[Difference, ...]
    seed: int
    resamples: int

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """Those that were measured, in their order."""
        return tuple({row.protocol.key: row.protocol for row in self.evaluation.rows}.values())

    @property
    def labels(self) -> tuple[str, ...]:
        """The extractors, in the order in which they were given."""
        return tuple(dict.fromkeys(row.label for row in self.evaluation.rows))

    def estimate(self, protocol: str, label: str, figure: str) -> Estimate:
        """One figure by the keys of its protocol, extractor and name."""
        return next(
            entry.estimate
            for entry in self.entries
            if (entry.protocol.key, entry.label, entry.figure.key) == (protocol, label, figure)
        )


def check_resamples(resamples: int) -> None:
    """Refuse a number of draws from which no 95 % interval can be read.

    Raises:
        UsageError: fewer than 100.
    """
    if resamples < 100:
        raise UsageError(f"resamples: expected 100 or more draws, got {resamples}")


def summarise(evaluation: Evaluation, *, seed: int = 0, resamples: int = RESAMPLES) -> Summary:
    """Every figure with its interval, and every difference between two extractors with its paired interval.

    Raises:
        UsageError: see ``check_resamples``.
    """
    check_resamples(resamples)
    entries, differences = [], []
    for row in evaluation.rows:
        for figure in row.protocol.figures:
            found = estimate(figure, row.values(figure.value), seed=seed, resamples=resamples)
            entries.append(Entry(row.protocol, row.label, figure, found))
    for protocol in dict.fromkeys(row.protocol for row in evaluation.rows):
        for base, row in combinations(evaluation.rows_of(protocol.key), 2):
            for figure in protocol.figures:
                found = difference(
                    figure, row.values(figure.value), base.values(figure.value), seed=seed, resamples=resamples
                )
                differences.append(Difference(protocol, row.label, base.label, figure, found))
    return Summary(evaluation, tuple(entries), tuple(differences), seed, resamples)


def facts(summary: Summary) -> dict[str, Any]:
    """The whole outcome for machines; what could not be measured is null."""
    evaluation = summary.evaluation
    return {
        "dataset": evaluation.dataset,
        "skipped": {item.sequence: item.reason for item in evaluation.skipped},
        "skipped_count": len(evaluation.skipped),
        "confidence": CONFIDENCE,
        "resamples": summary.resamples,
        "seed": summary.seed,
        "protocols": {protocol.key: _protocol_facts(summary, protocol) for protocol in summary.protocols},
    }


def _protocol_facts(summary: Summary, protocol: Protocol) -> dict[str, Any]:
    rows = summary.evaluation.rows_of(protocol.key)
    return {
        "title": protocol.title,
        "parameters": dict(protocol.parameters()),
        "sequences": len({pair.sequence for pair in rows[0].pairs}),
        "pairs": len(rows[0].pairs),
        "extractors": {row.label: _row_facts(summary, row) for row in rows},
        "differences": [
            {"of": later.label, "to": earlier.label, "figures": _difference_facts(summary, protocol, earlier, later)}
            for earlier, later in combinations(rows, 2)
        ],
    }


def _row_facts(summary: Summary, row: Row) -> dict[str, Any]:
    return {
        "runtimes": list(row.runtimes),
        "figures": {
            entry.figure.key: {"unit": entry.figure.unit, **_estimate_facts(entry.estimate)}
            for entry in summary.entries
            if entry.protocol is row.protocol and entry.label == row.label
        },
    }


def _difference_facts(summary: Summary, protocol: Protocol, earlier: Row, later: Row) -> dict[str, Any]:
    return {
        item.figure.key: {"unit": item.figure.unit, **_estimate_facts(item.estimate)}
        for item in summary.differences
        if item.protocol is protocol and (item.label, item.baseline) == (later.label, earlier.label)
    }


def _estimate_facts(found: Estimate) -> dict[str, float | int | None]:
    return {
        "value": finite_or_none(found.value),
        "low": finite_or_none(found.low),
        "high": finite_or_none(found.high),
        "pairs": found.pairs,
    }


def finite_or_none(value: float) -> float | None:
    """The number, or None for one that JSON and CSV do not have."""
    return value if math.isfinite(value) else None


def worst_pairs(row: Row, count: int) -> list[PairResult]:
    """The pairs that went worst, worst first; none by a protocol that makes no matches.

    By P2: the largest corner error, and of equal ones (no homography at all) the smallest matching score; by P3: the
    smallest MMA at 3 px.
    """

    def badness(pair: PairResult) -> tuple[float, float]:
        values = pair.measured.values
        score = values.get("matching_score", 0.0)
        return values.get("corner_error_px", -values.get("mma_3px", 0.0)), -(0.0 if math.isnan(score) else score)

    drawable = [pair for pair in row.pairs if pair.measured.matches is not None]
    return sorted(drawable, key=badness, reverse=True)[:count]
