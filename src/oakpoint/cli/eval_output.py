"""The figures of an evaluation as tables in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from oakpoint.cli.console import out, print_warning
from oakpoint.evaluate.cache import FeatureCache
from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import Estimate
from oakpoint.evaluate.protocol import Protocol
from oakpoint.evaluate.summary import Summary
from oakpoint.evaluate.tables import cell_text, counted, difference_of, few_sequences, heading, is_better, time_texts

_WIDEST = 10_000


def print_tables(summary: Summary) -> None:
    """For each protocol the figures side by side, then the differences from the baseline."""
    for protocol in summary.protocols:
        rows = summary.evaluation.rows_of(protocol.key)
        out.print(f"\n[bold]{escape(protocol.title)}[/]  ({protocol.reading} reading, {counted(summary, protocol)})")
        print_wide(_figures_table(summary, protocol))
        for row in rows:
            out.print(f"  [dim]{escape(row.label)}: {escape(', '.join(row.runtimes) or 'nothing extracted')}[/]")
            if row.times:
                out.print(f"  [dim]    {escape('; '.join(time_texts(row)))}[/]")
        if len(rows) > 1:
            print_wide(_differences_table(summary, protocol))
    out.print(
        "\n[dim]value [95 % bootstrap interval over sequences: pairs of one are drawn together]; "
        "a difference is paired, * where its interval excludes 0\n"
        "time: extraction alone, warm: the first image of each size is run once before it counts; in the table the "
        "median over pairs, below it that of each size, with quartiles[/]"
    )
    if (words := few_sequences(summary)) is not None:
        print_warning(words)


def print_cache(cache: FeatureCache) -> None:
    """What had no room in the cache, or made room, on standard error."""
    if cache.deleted:
        print_warning(f"{cache.deleted} extractions that were unused longest deleted to keep {_bound(cache)}")
    if cache.left_out:
        print_warning(f"{cache.left_out} extractions not kept for the next time, to keep {_bound(cache)}")


def _bound(cache: FeatureCache) -> str:
    return f"{cache.folder} within {cache.limit_gb:g} GB (--max-cache)"


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
        table.add_row(heading(figure), *(escape(cell_text(cell, figure)) for cell in cells))
    return table


def _differences_table(summary: Summary, protocol: Protocol) -> Table:
    """Of each other extractor to the baseline."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("difference")
    for label in summary.others:
        table.add_column(escape(f"{label} − {summary.baseline}"))
    for figure in protocol.figures:
        cells = [difference_of(summary, protocol, figure, label) for label in summary.others]
        table.add_row(heading(figure), *(_difference_cell(cell, figure) for cell in cells))
    return table


def _difference_cell(found: Estimate, figure: Figure) -> str:
    text = escape(cell_text(found, figure, signed=True))
    if not found.excludes_zero:
        return text
    better = is_better(found, figure)
    style = "bold" if better is None else "green" if better else "red"
    return f"[{style}]{text} *[/]"


def print_wide(table: Table) -> None:
    """Print at the table's own width where no terminal sets one: a figure broken over lines is no use to a program."""
    if out.is_terminal:
        out.print(table)
        return
    width = Measurement.get(out, out.options.update(width=_WIDEST), table).maximum
    Console(file=out.file, width=width, highlight=False, emoji=False).print(table)
