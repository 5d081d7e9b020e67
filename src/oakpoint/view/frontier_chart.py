"""Accuracy over rate: everything that was tried, the Pareto frontier through the best of it, and what was wished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from oakpoint.view.chart import GRID, Chart, new_figure, plain
from oakpoint.view.charts import COLOURS, USUAL_WIDTH_IN, Axis, Range, arms, set_log_ticks

FAINT: Final = "#9a9a9a"
CHOSEN: Final = COLOURS[1]


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """A point with an interval along each axis.

    Attributes:
        name: written beside a point of the frontier.
        x: its place along the horizontal axis.
        y: along the vertical one.
        on_frontier: whether no other point beats it in both.
        chosen: whether it is the one that was selected.
    """

    name: str
    x: Range
    y: Range
    on_frontier: bool = False
    chosen: bool = False


def frontier_chart(
    points: Sequence[FrontierPoint],
    *,
    x: Axis,
    y: Axis,
    title: str,
    least_x: float | None = None,
    least_y: float | None = None,
    width_in: float = USUAL_WIDTH_IN,
) -> Chart:
    """Draw the points over a logarithmic x axis; of both axes more is better.

    Args:
        points: at least one.
        x: the horizontal axis.
        y: the vertical axis.
        title: above the chart.
        least_x: what was asked for along x, drawn as a line; None for nothing.
        least_y: likewise along y.
        width_in: of the chart, in inches; words keep their size.
    """
    figure = new_figure(width_in, 2.0 + 0.45 * width_in)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    others = [point for point in points if not point.on_frontier and not point.chosen]
    front = sorted((point for point in points if point.on_frontier), key=lambda point: point.x.value)
    if others:
        xs, ys = [point.x.value for point in others], [point.y.value for point in others]
        axes.plot(xs, ys, "o", color=FAINT, markersize=4, alpha=0.7, label="tried")
    for point in front:
        _bars(axes, point, COLOURS[0])
    if front:
        xs, ys = [point.x.value for point in front], [point.y.value for point in front]
        axes.plot(xs, ys, "o-", color=COLOURS[0], markersize=6, linewidth=1.4, label="frontier", zorder=4)
    for point in front:
        place = point.x.value, point.y.value
        axes.annotate(plain(point.name), place, xytext=(4, 5), textcoords="offset points", fontsize=8, zorder=6)
    for point in (point for point in points if point.chosen):
        _bars(axes, point, CHOSEN)
        axes.plot(
            point.x.value,
            point.y.value,
            "*",
            color=CHOSEN,
            markersize=15,
            label=plain(f"chosen: {point.name}"),
            zorder=5,
        )
    wished: dict[str, Any] = {"color": CHOSEN, "linestyle": "--", "linewidth": 1.0}
    if least_x is not None:
        axes.axvline(least_x, **wished, label="asked for")
    if least_y is not None:
        axes.axhline(least_y, **wished, label=None if least_x is not None else "asked for")
    set_log_ticks(axes, [Range(p.x.value, p.x.value, p.x.value) for p in points])
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    axes.set_ylim(y.low, y.high)
    axes.set_title(plain(title), fontsize=11)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return Chart(figure)


def _bars(axes: Any, point: FrontierPoint, colour: str) -> None:
    xerr, yerr = arms(point.x), arms(point.y)
    axes.errorbar(
        point.x.value,
        point.y.value,
        xerr=xerr,
        yerr=yerr,
        fmt="none",
        ecolor=colour,
        elinewidth=0.9,
        capsize=2,
        alpha=0.6,
    )
