"""A measurement as tables: the same texts for the terminal, a page and Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from oakpoint.bench.host.contenders import TUTORIAL
from oakpoint.bench.host.costs import Cost
from oakpoint.bench.host.opening import STAGES
from oakpoint.bench.host.results import Benchmark, Row
from oakpoint.bench.markdown import markdown_table
from oakpoint.bench.statistics import Spread
from oakpoint.evaluate.intervals import Estimate

NOTHING = "–"
LONGEST_EXAMPLE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table.

    Attributes:
        caption: what it shows.
        headings: of the columns; all but the first are numbers.
        rows: texts of the cells.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def speed_grid(found: Benchmark) -> Grid:
    """How fast each contender is, and how many times as fast as the base."""
    return Grid(
        caption=f"Speed; × is to {base_words(found)} at the same number of threads, round by round",
        headings=("way", "threads", "ms an image [quartiles]", "× base [95 %]", "images/s", "× base"),
        rows=tuple(_speed(row, found.base) for row in found.rows),
    )


def work_grid(found: Benchmark) -> Grid:
    """Where the time of each contender goes, what it costs by itself, and what it finds."""
    return Grid(
        caption="Stages in ms; to load and to the first result in s, and peak memory in MB, each in its own process",
        headings=("way", "threads", *STAGES, "load s", "first s", "MB", "found"),
        rows=tuple(_work(row) for row in found.rows),
    )


def markdown(found: Benchmark) -> str:
    """Both tables and the notes, as Markdown."""
    grids = (speed_grid(found), work_grid(found))
    parts = [f"{grid.caption}:\n\n{markdown_table(grid.headings, grid.rows)}" for grid in grids]
    return "\n".join([head_line(found), "", *parts, *(f"* {note}" for note in found.notes())]) + "\n"


def head_line(found: Benchmark) -> str:
    """What was measured, and on what, in a line."""
    (width, height), machine = found.subject.ours.size, found.machine
    count = len(found.subject.images)
    images = f"{count} image{'s' if count > 1 else ''}"
    return (
        f"{found.subject.ours.model} {width}×{height}, {images}, {found.rounds} rounds; "
        f"{machine['processor']}, {machine['cores']} cores"
    )


def base_words(found: Benchmark) -> str:
    """The way that ratios are to, and which network it runs, where that is another."""
    theirs, ours = found.subject.theirs, found.subject.ours
    other = found.base == TUTORIAL and theirs is not None and theirs.model != ours.model
    return f"«{found.base}» of {theirs.model}" if other and theirs else f"«{found.base}»"


def _speed(row: Row, base: str) -> tuple[str, ...]:
    flow = row.throughput
    return (
        *_name(row),
        _spread(row.latency_ms),
        "base" if row.contender.way.name == base else _estimate(row.times),
        NOTHING if flow is None else _digits(flow.rate.median),
        NOTHING if flow is None or flow.times is None else f"{flow.times.value:.2f}",
    )


def _work(row: Row) -> tuple[str, ...]:
    cost = row.cost if isinstance(row.cost, Cost) else None
    costs = (cost and f"{cost.load_s:.2f}", cost and f"{cost.first_s:.2f}", cost and f"{cost.peak_mb:.0f}")
    found = row.example if row.found is None else f"{row.found:.0f}"
    return (
        *_name(row),
        *(_digits(row.stages_ms[name].median) for name in STAGES),
        *(text or NOTHING for text in costs),
        found if len(found) <= LONGEST_EXAMPLE else f"{found[: LONGEST_EXAMPLE - 1]}…",
    )


def _name(row: Row) -> tuple[str, str]:
    return row.contender.way.name, str(row.contender.threads)


def _spread(found: Spread) -> str:
    return f"{_digits(found.median)} [{_digits(found.low)}, {_digits(found.high)}]"


def _estimate(found: Estimate | None) -> str:
    if found is None:
        return NOTHING
    if math.isnan(found.low):
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _digits(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
