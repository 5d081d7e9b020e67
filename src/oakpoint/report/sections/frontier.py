"""The frontier of a search, as a picture and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from oakpoint.report.parts.blocks import Badge, Block, Cell, Column, Drawn, Section, Table, Words
from oakpoint.tune.outcome import Outcome, alike_text, configuration_words, rate_text, searched, share_text, time_basis
from oakpoint.tune.trial import Interval, Point
from oakpoint.view.chart import Chart
from oakpoint.view.charts import NARROW_WIDTH_IN, USUAL_WIDTH_IN, Axis, Range
from oakpoint.view.frontier_chart import FrontierPoint, frontier_chart

MOST_ROWS: Final = 200


def frontier_picture(outcome: Outcome, *, width_in: float = USUAL_WIDTH_IN, titled: bool = True) -> Chart:
    """Accuracy over rate of everything that was tried."""
    wish, chosen = outcome.options.wish, outcome.found.choice.point
    front = {point.number for point in outcome.front}
    points = [
        FrontierPoint(
            str(point.number),
            _range(point.rate_fps),
            _range(point.accuracy),
            on_frontier=point.number in front,
            chosen=chosen is not None and point.number == chosen.number,
        )
        for point in outcome.found.points
    ]
    kind = "estimated" if outcome.estimated else "measured"
    options = outcome.options
    return frontier_chart(
        points,
        x=Axis(f"frames a second, {kind} ({'Myriad X' if outcome.estimated else 'this machine'})"),
        y=Axis(outcome.found.setup.judge.name),
        title=f"{options.tuned.model} on {options.target}: {len(points)} configurations" if titled else "",
        least_x=wish.min_fps,
        least_y=wish.min_accuracy,
        width_in=width_in,
    )


def frontier_section(outcome: Outcome) -> Section:
    """The picture, what figures are, and the frontier's points."""
    blocks: list[Block] = []
    if outcome.found.points:
        label = (
            "Accuracy over frames a second: every configuration that was tried, and the frontier of those that no "
            "other one beats in both, with their intervals and the numbers of the table."
        )
        svg = frontier_picture(outcome, width_in=NARROW_WIDTH_IN, titled=False).svg()
        blocks.append(Drawn(svg=svg, label=label, caption=label, wide=False))
    basis = outcome.found.setup.judge.basis
    blocks.append(Words(parts=[f"Accuracy: {outcome.found.setup.judge.name}, {basis}. {time_basis(outcome)}"]))
    blocks.append(_table(outcome, outcome.shown, caption="The frontier, the slowest point first", alike=True))
    return Section(key="frontier", title="Frontier", blocks=blocks)


def tried_section(outcome: Outcome) -> Section:
    """Everything that was tried and measured."""
    points = sorted(outcome.found.points, key=lambda point: -point.accuracy.value)
    table = _table(outcome, points[:MOST_ROWS], caption="All configurations, the most accurate first", alike=False)
    return Section(key="tried", title="Everything that was tried", blocks=[table])


def _table(outcome: Outcome, points: Sequence[Point], *, caption: str, alike: bool) -> Table:
    chosen, like = outcome.found.choice.point, outcome.alike()
    with_memory = any(point.memory_mb is not None for point in points)
    rows: list[list[Cell]] = []
    for point in points:
        number: Cell = str(point.number)
        if chosen is not None and point.number == chosen.number:
            number = Badge("pass", f"{point.number}, chosen")
        row: list[Cell] = [number, share_text(point.accuracy), rate_text(point.rate_fps), rate_text(point.time_ms)]
        row.append(configuration_words(searched(outcome, point)))
        row += [_memory(point)] if with_memory else []
        row += [alike_text(like.get(point.number, ()))] if alike else []
        rows.append(row)
    columns = [Column("point"), *(Column(name, number=True) for name in ("accuracy", "frames/s", "ms"))]
    columns.append(Column("settings"))
    columns += [Column("memory / MB", number=True)] if with_memory else []
    columns += [Column("not told apart from")] if alike else []
    return Table(caption=caption, columns=columns, rows=rows)


def _memory(point: Point) -> str:
    return "–" if point.memory_mb is None else f"{point.memory_mb:.1f}"


def _range(interval: Interval) -> Range:
    return Range(interval.value, interval.low, interval.high)
