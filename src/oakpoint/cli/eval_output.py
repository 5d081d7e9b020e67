"""The figures of an evaluation as tables in the terminal and as CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from oakpoint.cli.console import out, print_warning
from oakpoint.evaluate.intervals import Estimate, Figure
from oakpoint.evaluate.protocol import Protocol
from oakpoint.evaluate.summary import Summary, finite_or_none
from oakpoint.files import replacing_file

SUMMARY_HEADER = ("protocol", "reading", "extractor", "less", "figure", "unit", "value", "low", "high", "pairs")
_WIDEST = 10_000


def print_tables(summary: Summary) -> None:
    """For each protocol the figures side by side, then the differences from the first extractor."""
    for protocol in summary.protocols:
        rows = summary.evaluation.rows_of(protocol.key)
        pairs, sequences = len(rows[0].pairs), len({pair.sequence for pair in rows[0].pairs})
        out.print(
            f"\n[bold]{escape(protocol.title)}[/]  ({protocol.reading} reading, {pairs} pairs of {sequences} sequences)"
        )
        _print_wide(_figures_table(summary, protocol))
        for row in rows:
            out.print(f"  [dim]{escape(row.label)}: {escape(', '.join(row.runtimes) or 'nothing extracted')}[/]")
        if len(rows) > 1:
            _print_wide(_differences_table(summary, protocol))
    out.print(
        "\n[dim]value [95 % bootstrap interval over pairs]; a difference is paired, * where its interval excludes 0; "
        "time: median for one image, extraction only[/]"
    )


def print_skipped(summary: Summary) -> None:
    """What was left out, on standard error."""
    skipped = summary.evaluation.skipped
    for item in skipped:
        print_warning(f"skipped {item.sequence}: {item.reason}")
    if skipped:
        print_warning(f"{len(skipped)} sequence{'s' if len(skipped) > 1 else ''} skipped in all")


def _figures_table(summary: Summary, protocol: Protocol) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("figure")
    for label in summary.labels:
        table.add_column(escape(label))
    for figure in protocol.figures:
        cells = [summary.estimate(protocol.key, label, figure.key) for label in summary.labels]
        table.add_row(_heading(figure), *(escape(cell_text(cell, figure)) for cell in cells))
    return table


def _differences_table(summary: Summary, protocol: Protocol) -> Table:
    """Of each later extractor to the first."""
    first, *others = summary.labels
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("difference")
    for label in others:
        table.add_column(escape(f"{label} − {first}"))
    for figure in protocol.figures:
        found = {
            item.label: item.estimate
            for item in summary.differences
            if item.protocol is protocol and item.baseline == first and item.figure is figure
        }
        table.add_row(_heading(figure), *(_difference_cell(found[label], figure) for label in others))
    return table


def _difference_cell(found: Estimate, figure: Figure) -> str:
    text = escape(cell_text(found, figure, signed=True))
    if not found.excludes_zero:
        return text
    good = figure.better is not None and (found.value > 0) == (figure.better == "higher")
    style = "bold" if figure.better is None else "green" if good else "red"
    return f"[{style}]{text} *[/]"


def cell_text(found: Estimate, figure: Figure, *, signed: bool = False) -> str:
    """``0.652 [0.601, 0.699]``; a dash for what could not be measured."""
    if finite_or_none(found.value) is None:
        return "–"
    digits = 1 if figure.unit == "ms" or figure.key in ("keypoints", "matches") else 3
    form = f"{'+' if signed else ''}.{digits}f"
    if finite_or_none(found.low) is None or finite_or_none(found.high) is None:
        return format(found.value, form)
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _heading(figure: Figure) -> str:
    return f"{figure.label} / {figure.unit}" if figure.unit else figure.label


def _print_wide(table: Table) -> None:
    """Print at the table's own width where no terminal sets one: a figure broken over lines is no use to a program."""
    if out.is_terminal:
        out.print(table)
        return
    width = Measurement.get(out, out.options.update(width=_WIDEST), table).maximum
    Console(file=out.file, width=width, highlight=False, emoji=False).print(table)


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
    return [protocol.key, protocol.reading, label, baseline, figure.key, figure.unit, *numbers, found.pairs]


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


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # paths may hold other bytes
