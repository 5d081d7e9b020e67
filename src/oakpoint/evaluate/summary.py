"""From what was measured on pairs to the figures that are shown, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oakpoint.errors import UsageError
from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import CONFIDENCE, FEW_SEQUENCES, RESAMPLES, Estimate, Progress, Sample, estimates
from oakpoint.evaluate.protocol import Protocol
from oakpoint.evaluate.results import Evaluation, Row
from oakpoint.evaluate.timing import SizeTime
from oakpoint.finite import finite_or_none

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
        differences: by protocol, extractor, figure; each extractor less the baseline.
        baseline: the extractor that the others are compared with.
        seed: of the bootstrap's draws.
        resamples: how many draws.
    """

    evaluation: Evaluation
    entries: tuple[Entry, ...]
    differences: tuple[Difference, ...]
    baseline: str
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

    @property
    def others(self) -> tuple[str, ...]:
        """The extractors but the baseline."""
        return tuple(label for label in self.labels if label != self.baseline)

    @property
    def few_sequences(self) -> int | None:
        """The smallest number of sequences that intervals rest on, where these are too few; None where they are not."""
        counts = [entry.estimate.sequences for entry in self.entries if not math.isnan(entry.estimate.low)]
        least = min(counts, default=FEW_SEQUENCES)
        return least if least < FEW_SEQUENCES else None

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


def check_baseline(baseline: str | None, labels: Sequence[str]) -> None:
    """Refuse to compare with an extractor that there is not.

    Raises:
        UsageError: no extractor has that label.
    """
    if baseline is not None and baseline not in labels:
        raise UsageError(f"baseline: expected the label of an extractor ({', '.join(labels)}), got {baseline!r}")


def summarise(
    evaluation: Evaluation,
    *,
    baseline: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    progress: Progress = lambda _: None,
) -> Summary:
    """Every figure with its interval, and how far each extractor is from the baseline, with the paired interval.

    Args:
        evaluation: what was measured.
        baseline: label of the extractor that the others are compared with; None: the first.
        seed: of the bootstrap's draws.
        resamples: how many draws.
        progress: told how many more draws are done, of ``resamples`` for each protocol.

    Raises:
        UsageError: see ``check_resamples`` and ``check_baseline``.
    """
    check_resamples(resamples)
    labels = list(dict.fromkeys(row.label for row in evaluation.rows))
    check_baseline(baseline, labels)
    baseline = labels[0] if baseline is None else baseline
    entries: list[Entry] = []
    differences: list[Difference] = []
    for protocol in dict.fromkeys(row.protocol for row in evaluation.rows):
        rows = evaluation.rows_of(protocol.key)
        base = next(row for row in rows if row.label == baseline)
        asked = [(row, figure) for row in rows for figure in protocol.figures]
        samples = [_sample(row, base, figure) for row, figure in asked]
        found = estimates(samples, base.sequences, seed=seed, resamples=resamples, progress=progress)
        for (row, figure), one in zip(asked, found, strict=True):
            entries.append(Entry(protocol, row.label, figure, one.estimate))
            if one.difference is not None:
                differences.append(Difference(protocol, row.label, baseline, figure, one.difference))
    return Summary(evaluation, tuple(entries), tuple(differences), baseline, seed, resamples)


def _sample(row: Row, base: Row, figure: Figure) -> Sample:
    return Sample(figure, row.values(figure.value), None if row is base else base.values(figure.value))


def facts(summary: Summary) -> dict[str, Any]:
    """The whole outcome for machines; what could not be measured is null."""
    evaluation = summary.evaluation
    return {
        "dataset": evaluation.dataset,
        "skipped": {item.sequence: item.reason for item in evaluation.skipped},
        "skipped_count": len(evaluation.skipped),
        "confidence": CONFIDENCE,
        "intervals_over": "sequences",
        "resamples": summary.resamples,
        "seed": summary.seed,
        "protocols": {protocol.key: _protocol_facts(summary, protocol) for protocol in summary.protocols},
    }


def _protocol_facts(summary: Summary, protocol: Protocol) -> dict[str, Any]:
    rows = summary.evaluation.rows_of(protocol.key)
    return {
        "title": protocol.title,
        "parameters": dict(protocol.parameters()),
        "sequences": len(set(rows[0].sequences)),
        "pairs": len(rows[0].pairs),
        "extractors": {row.label: _row_facts(summary, row) for row in rows},
        "differences": [
            {"of": label, "to": summary.baseline, "figures": _difference_facts(summary, protocol, label)}
            for label in summary.others
        ],
    }


def _row_facts(summary: Summary, row: Row) -> dict[str, Any]:
    return {
        "runtimes": list(row.runtimes),
        "times": [_time_facts(time) for time in row.times],
        "figures": {
            entry.figure.key: {"unit": entry.figure.unit, **_estimate_facts(entry.estimate)}
            for entry in summary.entries
            if entry.protocol is row.protocol and entry.label == row.label
        },
    }


def _time_facts(time: SizeTime) -> dict[str, Any]:
    return {
        "size": f"{time.size[0]}x{time.size[1]}",
        "images": time.images,
        "median_ms": time.median_ms,
        "lower_ms": time.lower_ms,
        "upper_ms": time.upper_ms,
    }


def _difference_facts(summary: Summary, protocol: Protocol, label: str) -> dict[str, Any]:
    return {
        item.figure.key: {"unit": item.figure.unit, **_estimate_facts(item.estimate)}
        for item in summary.differences
        if item.protocol is protocol and item.label == label
    }


def _estimate_facts(found: Estimate) -> dict[str, float | int | None]:
    return {
        "value": finite_or_none(found.value),
        "low": finite_or_none(found.low),
        "high": finite_or_none(found.high),
        "pairs": found.pairs,
        "sequences": found.sequences,
    }
