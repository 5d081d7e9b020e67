"""The figures of an evaluation as texts of a table's cells, and as CSV."""

from __future__ import annotations

import csv
import io

from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import FEW_SEQUENCES, Estimate
from oakpoint.evaluate.protocol import Protocol
from oakpoint.evaluate.results import Row
from oakpoint.evaluate.summary import Summary
from oakpoint.finite import finite_or_none

SUMMARY_HEADER = (
    "protocol", "reading", "extractor", "less", "figure", "unit", "value", "low", "high", "pairs", "sequences",
)  # fmt: skip

MOST_SIZES = 4
"""Sizes of images whose times are shown; of more the smallest and the largest."""


def cell_text(found: Estimate, figure: Figure, *, signed: bool = False) -> str:
    """``0.652 [0.601, 0.699]``; a dash for what could not be measured."""
    if finite_or_none(found.value) is None:
        return "–"
    digits = 1 if figure.unit == "ms" or figure.key in ("keypoints", "matches") else 3
    form = f"{'+' if signed else ''}.{digits}f"
    if finite_or_none(found.low) is None or finite_or_none(found.high) is None:
        return format(found.value, form)
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def heading(figure: Figure) -> str:
    """What a figure is called, with its unit."""
    return f"{figure.label} / {figure.unit}" if figure.unit else figure.label


def difference_of(summary: Summary, protocol: Protocol, figure: Figure, label: str) -> Estimate:
    """How far an extractor differs in a figure from the baseline, on the same pairs."""
    return next(
        item.estimate
        for item in summary.differences
        if item.protocol is protocol and item.figure is figure and item.label == label
    )


def counted(summary: Summary, protocol: Protocol) -> str:
    """What a protocol's figures and intervals rest on: ``20 pairs of 4 sequences``."""
    names = summary.evaluation.rows_of(protocol.key)[0].sequences
    pairs, sequences = len(names), len(set(names))
    return f"{pairs} pair{'' if pairs == 1 else 's'} of {sequences} sequence{'' if sequences == 1 else 's'}"


def few_sequences(summary: Summary) -> str | None:
    """What a reader must know of intervals over too few sequences; None where they are enough."""
    least = summary.few_sequences
    if least is None:
        return None
    return f"intervals over {least} sequences are too narrow; {FEW_SEQUENCES} or more are wanted (docs/evaluation.md)"


def time_texts(row: Row) -> list[str]:
    """An extractor's times: a text for each size, or of many sizes for the smallest and the largest."""
    shown = row.times if len(row.times) <= MOST_SIZES else (row.times[0], row.times[-1])
    texts = [
        f"{time.size[0]}×{time.size[1]}: {time.median_ms:.1f} ms ({time.lower_ms:.1f} to {time.upper_ms:.1f}, "
        f"{time.images} image{'' if time.images == 1 else 's'})"
        for time in shown
    ]
    return texts if len(shown) == len(row.times) else [texts[0], f"{len(row.times) - 2} sizes between", texts[1]]


def is_better(found: Estimate, figure: Figure) -> bool | None:
    """Whether a difference is one for the better; None where nobody can say, or its interval has 0 in it."""
    if figure.better is None or not found.excludes_zero:
        return None
    return (found.value > 0) == (figure.better == "higher")


def summary_csv(summary: Summary) -> str:
    """One line for each figure of each extractor (``less`` empty) and for each difference of two."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(SUMMARY_HEADER)
    for entry in summary.entries:
        writer.writerow(_csv_row(entry.protocol, entry.label, "", entry.figure, entry.estimate))
    for item in summary.differences:
        writer.writerow(_csv_row(item.protocol, item.label, item.baseline, item.figure, item.estimate))
    return stream.getvalue()


def _csv_row(protocol: Protocol, label: str, baseline: str, figure: Figure, found: Estimate) -> list[object]:
    numbers = ["" if finite_or_none(x) is None else repr(x) for x in (found.value, found.low, found.high)]
    return [
        protocol.key,
        protocol.reading,
        label,
        baseline,
        figure.key,
        figure.unit,
        *numbers,
        found.pairs,
        found.sequences,
    ]


def pairs_csv(summary: Summary) -> str:
    """One line for each value of each pair; empty where a pair has none, ``inf`` for an error without bound."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("protocol", "reading", "extractor", "sequence", "first", "second", "quantity", "value"))
    for row in summary.evaluation.rows:
        for pair in row.pairs:
            for name, value in pair.measured.values.items():
                start = (row.protocol.key, row.protocol.reading, row.label, pair.sequence, pair.first, pair.second)
                writer.writerow((*start, name, "" if value != value else repr(float(value))))
    return stream.getvalue()
