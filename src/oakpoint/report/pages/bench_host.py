"""The report of ``bench`` on this machine: ways of running a network side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from oakpoint.bench.host.opening import STAGES
from oakpoint.bench.host.results import Benchmark, Row
from oakpoint.bench.host.table import Grid, base_words, head_line, markdown, speed_grid, work_grid
from oakpoint.report.folders import write_text
from oakpoint.report.parts.blocks import Badge, Cell, Column, Drawn, Page, Section, Table, Words
from oakpoint.report.parts.page import html_of
from oakpoint.report.sections.origin import MADE_BY, made_section
from oakpoint.view.chart import Chart, plain
from oakpoint.view.charts import NARROW_WIDTH_IN, USUAL_WIDTH_IN, Axis, Range, Stack, stacks

TABLE_FILE: Final = "benchmark.md"
PICTURE_FILE: Final = "benchmark.png"


def benchmark_page(found: Benchmark, *, notices: list[str], line: str) -> str:
    """The page as HTML.

    Args:
        found: what was measured.
        notices: what has to be known of the network, such as random weights.
        line: the command line.

    Raises:
        OutputError: the page would be too large.
    """
    width, height = found.subject.ours.size
    fastest = min(found.rows, key=lambda row: row.latency_ms.median)
    page = Page(
        command="oakpoint bench",
        title=f"{Path(found.subject.ours.model).name} {width}×{height}",
        verdict=Badge("plain", f"{len(found.rows)} ways measured"),
        summary=f"Fastest for one image: {fastest.contender.label}, {_text(fastest)}.",
        notices=[*notices, *(f"{note[:1].upper()}{note[1:]}." for note in found.notes() if _is_notice(note))],
        entries=[("base", found.base), ("rounds", str(found.rounds)), ("images", str(len(found.subject.images)))],
        sections=[
            _speed(found),
            Section(key="work", title="Where the time and the memory go", blocks=[_table(work_grid(found)), _costs()]),
            *_left_out(found),
            made_section(line, _origin(found)),
        ],
        made_by=MADE_BY,
    )
    return html_of(page)


def write_beside(found: Benchmark, folder: Path) -> None:
    """Write the tables as Markdown, and the picture.

    Raises:
        OutputError: one cannot be written.
    """
    write_text(folder / TABLE_FILE, markdown(found))
    benchmark_chart(found).save(folder / PICTURE_FILE)


def benchmark_chart(found: Benchmark, *, width_in: float = USUAL_WIDTH_IN, titled: bool = True) -> Chart:
    """The time of one image with each way, its stages as parts of the bar.

    Args:
        found: what was measured.
        width_in: of the chart, in inches.
        titled: whether it says itself what was measured.
    """
    bars = [
        Stack(
            name=row.contender.way.name,
            parts=_shares(row),
            whole=Range(row.latency_ms.median, row.latency_ms.low, row.latency_ms.high),
            text=_text(row),
            group=f"{row.contender.threads} thread{'s' if row.contender.threads > 1 else ''}",
        )
        for row in found.rows
    ]
    return stacks(
        bars,
        STAGES,
        value=Axis(plain(f"median time of one image (ms), with quartiles; × to {base_words(found)}"), 0.0),
        title=head_line(found).replace("; ", "\n") if titled else "",
        width_in=width_in,
    )


def _speed(found: Benchmark) -> Section:
    label = (
        f"The time of one image with each way, in its stages; × is how many times as fast as {base_words(found)} it is."
    )
    svg = benchmark_chart(found, width_in=NARROW_WIDTH_IN, titled=False).svg()
    how = (
        "Every way has its turn in each round, in an order drawn anew, on the same image. Times are medians over "
        "rounds with quartiles; ratios are medians of the rounds' own ratios, with 95 % bootstrap intervals. Images a "
        "second are with several under way."
    )
    blocks = [Drawn(svg=svg, label=label, caption=label, wide=False), _table(speed_grid(found)), Words(parts=[how])]
    return Section(key="speed", title="Speed", blocks=blocks)


def _table(grid: Grid) -> Table:
    columns = [Column(heading, number=index > 0) for index, heading in enumerate(grid.headings)]
    return Table(caption=grid.caption, columns=columns, rows=grid.rows)


def _costs() -> Words:
    words = "Memory is the most that a process had which ran this way alone, Python and oakpoint included."
    return Words(parts=[words], faint=True)


def _left_out(found: Benchmark) -> list[Section]:
    if not found.left_out:
        return []
    rows: list[list[Cell]] = [
        [name, ", ".join(map(str, threads)), reason] for (name, reason), threads in found.why_left_out().items()
    ]
    columns = [Column("way"), Column("threads"), Column("why")]
    table = Table(caption="What was not measured", columns=columns, rows=rows)
    return [Section(key="left-out", title="Left out", blocks=[table])]


def _origin(found: Benchmark) -> list[tuple[str, Cell]]:
    machine, theirs = found.machine, found.subject.theirs
    items: list[tuple[str, Cell]] = [
        ("model", found.subject.ours.model),
        ("processor", f"{machine['processor']}, {machine['cores']} cores"),
        ("instructions", ", ".join(machine["features"]) or "unknown"),
        ("images", ", ".join(found.subject.images)),
        ("seed", str(found.seed)),
    ]
    return items if theirs is None else [*items, ("network of the tutorial's way", theirs.model)]


def _shares(row: Row) -> list[float]:
    """The row's time in the shares of its stages, which were timed in runs of their own."""
    stages = [row.stages_ms[name].median for name in STAGES]
    return [row.latency_ms.median * stage / (sum(stages) or 1.0) for stage in stages]


def _text(row: Row) -> str:
    ratio = "" if row.times is None else f"  ×{row.times.value:.2f}"
    return f"{row.latency_ms.median:.1f} ms{ratio}"


def _is_notice(note: str) -> bool:
    return not note.startswith("left out: ")
