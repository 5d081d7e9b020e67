"""Charts with axes and units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oakpoint.view.chart import GRID, Chart, new_figure, plain
from oakpoint.view.names import without_beginning

COLOURS = ("#3b6ea5", "#c8782d", "#5f8f4e", "#a0476b", "#6b5b95", "#8a7a3a", "#3a8a8a", "#777777")
USUAL_WIDTH_IN = 7.5
NARROW_WIDTH_IN = 5.0
"""Of a chart that is to be read on a phone as well."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True, slots=True)
class Range:
    """A value and its interval; NaN ends draw no interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ScatterPoint:
    """A named point with an interval along each axis; without an x it is drawn as a level line."""

    label: str
    x: Range
    y: Range


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis says.

    Attributes:
        label: with the unit in brackets.
        low: where it starts; None: where the data ask for it.
        high: where it ends.
    """

    label: str
    low: float | None = None
    high: float | None = None


def scatter(points: Sequence[ScatterPoint], *, x: Axis, y: Axis, title: str, width_in: float = USUAL_WIDTH_IN) -> Chart:
    """Points with error bars over a logarithmic x axis.

    Args:
        points: what is drawn.
        x: the horizontal axis.
        y: the vertical axis.
        title: above the chart.
        width_in: of the chart, in inches; words keep their size.
    """
    figure = new_figure(width_in, 2.0 + 0.4 * width_in)
    axes = figure.add_subplot()
    for index, point in enumerate(points):
        style: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "label": plain(point.label)}
        if math.isnan(point.x.value):
            axes.axhline(point.y.value, linestyle="--", linewidth=1.2, **style)
            continue
        axes.errorbar(
            point.x.value,
            point.y.value,
            xerr=arms(point.x),
            yerr=arms(point.y),
            marker=MARKERS[index % len(MARKERS)],
            markersize=8,
            capsize=3,
            linewidth=1.2,
            **style,
        )
    timed = [point.x for point in points if not math.isnan(point.x.value)]
    if timed:
        axes.set_xscale("log")
        set_log_ticks(axes, timed)
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    axes.set_ylim(y.low, y.high)
    axes.set_title(plain(title), fontsize=11)
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=_columns(width_in), frameon=False
    )
    return Chart(figure)


def bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    *,
    value: Axis,
    group: str,
    title: str,
    width_in: float = USUAL_WIDTH_IN,
) -> Chart:
    """Horizontal bars side by side: for each group one of each series, the first group on top.

    Args:
        groups: names along the vertical axis.
        series: by label one value for each group; NaN draws no bar.
        value: the horizontal axis.
        group: what the groups are.
        title: above the chart.
        width_in: of the chart, in inches; words keep their size.
    """
    thickness = 0.8 / max(len(series), 1)
    figure = new_figure(width_in, 1.8 + 0.22 * len(groups) * max(len(series), 2))
    axes = figure.add_subplot()
    for index, (label, values) in enumerate(series.items()):
        places = [row + (index + 0.5) * thickness - 0.4 for row in range(len(groups))]
        drawn = axes.barh(places, values, 0.92 * thickness, color=COLOURS[index % len(COLOURS)], label=plain(label))
        texts = ["" if math.isnan(number) else f"{number:.2f}" for number in values]
        axes.bar_label(drawn, texts, padding=2, fontsize=7)
    axes.set_yticks(range(len(groups)), [plain(name) for name in groups])
    axes.set_ylim(len(groups) - 0.45, -0.55)
    axes.set_xlim(value.low, value.high)
    axes.set_xlabel(value.label)
    axes.set_ylabel(group)
    axes.set_title(plain(title), fontsize=11)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=_columns(width_in), frameon=False
    )
    return Chart(figure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A bar of several parts, one behind the other.

    Attributes:
        name: beside it.
        parts: lengths, in the order of the chart's parts.
        whole: what the whole comes to, and its spread, which is drawn over the bar's end.
        text: behind it.
        group: bars of one group stand together.
    """

    name: str
    parts: Sequence[float]
    whole: Range
    text: str
    group: str = ""


def stacks(
    bars: Sequence[Stack], parts: Sequence[str], *, value: Axis, title: str, width_in: float = USUAL_WIDTH_IN
) -> Chart:
    """Horizontal bars made of parts, the first one on top, with a gap between groups.

    Args:
        bars: what is drawn.
        parts: what the parts are.
        value: the horizontal axis.
        title: above the chart.
        width_in: of the chart, in inches; words keep their size.
    """
    groups = list(dict.fromkeys(bar.group for bar in bars))
    places = [index + 0.6 * groups.index(bar.group) for index, bar in enumerate(bars)]
    figure = new_figure(width_in, 1.4 + 0.32 * (len(bars) + 0.6 * len(groups)))
    axes = figure.add_subplot()
    for index, part in enumerate(parts):
        starts = [sum(bar.parts[:index]) for bar in bars]
        axes.barh(places, [bar.parts[index] for bar in bars], 0.76, starts, color=COLOURS[index], label=plain(part))
    for place, bar in zip(places, bars, strict=True):
        axes.errorbar(bar.whole.value, place, xerr=arms(bar.whole), color="black", capsize=2.5, linewidth=1.0)
        end = max(bar.whole.value, sum(bar.parts), 0.0 if math.isnan(bar.whole.high) else bar.whole.high)
        axes.annotate(plain(bar.text), (end, place), (5, 0), textcoords="offset points", va="center", fontsize=8)
    names = [f"{bar.name}\n{bar.group}" if bar.group and len(groups) > 1 else bar.name for bar in bars]
    axes.set_yticks(places, [plain(name) for name in names], fontsize=8)
    axes.set_ylim(max(places, default=0) + 0.6, -0.6)
    longest = max((max(bar.whole.value, sum(bar.parts), bar.whole.high) for bar in bars), default=1.0)
    axes.set_xlim(value.low, 1.45 * longest if value.high is None else value.high)
    axes.set_xlabel(value.label)
    axes.set_title(plain(title), fontsize=11)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(parts), frameon=False)
    return Chart(figure)


def lines(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], *, x: Axis, title: str) -> Chart:
    """Lines over one horizontal axis, a panel below the other.

    Args:
        panels: by the label of the vertical axis: lines by their label, each of points (x, y) in order.
        x: the horizontal axis of all panels.
        title: above the chart.
    """
    figure = new_figure(7.5, 1.0 + 2.8 * len(panels))
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (label, inside) in zip(rows, panels.items(), strict=True):
        for index, (name, points) in enumerate(inside.items()):
            axes.plot(*zip(*points, strict=True), color=COLOURS[index % len(COLOURS)], linewidth=1.4, label=plain(name))
        axes.set_ylabel(label)
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8)
    rows[-1].set_xlabel(x.label)
    rows[-1].set_xlim(x.low, x.high)
    rows[0].set_title(plain(title), fontsize=11)
    return Chart(figure)


@dataclass(frozen=True, slots=True)
class Profile:
    """Values along a row of named places.

    Attributes:
        places: names, in order.
        lines: by label one value for each place; what is zero or not finite is not drawn.
        marked: places to draw a line at; empty for none.
    """

    places: Sequence[str]
    lines: Mapping[str, Sequence[float]]
    marked: Sequence[int] = ()


def profiles(panels: Mapping[str, Profile], *, value: str, title: str) -> Chart:
    """Values over named places on a logarithmic axis, a panel below the other, each with places of its own.

    Args:
        panels: by what each is about, which stands above it.
        value: label of the vertical axes, with the unit in brackets.
        title: above the chart.
    """
    figure = new_figure(10.0, 0.8 + 3.4 * len(panels))
    rows = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axes, (about, profile) in zip(rows, panels.items(), strict=True):
        numbers = range(len(profile.places))
        for index, (label, values) in enumerate(profile.lines.items()):
            drawn = [v if v > 0 and math.isfinite(v) else math.nan for v in values]
            style: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
            axes.plot(numbers, drawn, markersize=3.5, linewidth=1.2, label=plain(label), **style)
        for place in profile.marked:
            axes.axvline(place, color="#c0392b", linewidth=1.4, alpha=0.6)
        axes.set_yscale("log")
        axes.set_ylabel(value)
        step = max(1, math.ceil(len(profile.places) / _MOST_NAMES))
        named = [n for n in numbers if n % step == 0 or n in profile.marked]
        axes.set_xticks(
            named,
            [plain(without_beginning(profile.places[n], _LONGEST_NAME)) for n in named],
            rotation=60,
            ha="right",
            fontsize=6,
        )
        axes.set_xlim(-0.5, max(len(profile.places) - 0.5, 0.5))
        axes.set_title(plain(about), fontsize=9, loc="left")
        axes.grid(color=GRID)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=7, loc="best")
    figure.suptitle(plain(title), fontsize=11)
    return Chart(figure)


_MOST_NAMES, _LONGEST_NAME = 60, 28
_LEAST_TICKS = 3


def _columns(width_in: float) -> int:
    """How many names of a legend have room beside each other."""
    return max(1, int(width_in / 2.5))


def arms(value: Range) -> list[list[float]] | None:
    """Lengths of an error bar's arms; the value may lie outside its interval by a hair."""
    if math.isnan(value.low) or math.isnan(value.high):
        return None
    return [[max(value.value - value.low, 0.0)], [max(value.high - value.value, 0.0)]]


def set_log_ticks(axes: Any, values: Sequence[Range]) -> None:
    """Ticks at 1, 2, 5 times powers of ten, as plain numbers, and at more where that leaves fewer than three."""
    lows = [value.value if math.isnan(value.low) else value.low for value in values]
    highs = [value.value if math.isnan(value.high) else value.high for value in values]
    least, most = max(min(lows), 1e-9) / 1.5, max(highs) * 1.5
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    shown: list[float] = []
    for factors in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        if len(shown) < _LEAST_TICKS:
            ticks = [factor * 10.0**decade for decade in decades for factor in factors]
            shown = [tick for tick in ticks if least <= tick <= most]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.set_xticks([], minor=True)
    axes.set_xlim(least, most)
