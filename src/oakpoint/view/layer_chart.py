"""A picture of where a network's estimated time goes: one bar for each layer, in the order of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oakpoint.view.drawing import FONT_PX, Drawing, Rectangle, Text, save_drawing, ticks
from oakpoint.view.names import without_beginning

COLOURS: Final = {"engine": "#3b6ea5", "SHAVEs, at least": "#c8782d", "DDR": "#5f8f4e", "each stage": "#9a9a9a"}
"""Colour of each part of a layer's time, in the order in which they stand side by side."""

MOST_ROWS: Final = 44
"""Layers that have a row of their own; of a longer network these are the longest ones."""

WIDTH_PX: Final = 1200
LEFT_PX: Final = 360
RIGHT_PX: Final = 130
TOP_PX: Final = 86
ROW_PX: Final = 22
BAR_PX: Final = 16
BOTTOM_PX: Final = 58
NAME_CHARACTERS: Final = 44  # with three full stops: OpenCV's font has no ellipsis


@dataclass(frozen=True, slots=True)
class LayerBar:
    """A layer's time.

    Attributes:
        name: of the layer.
        parts_ms: in the order of ``COLOURS``.
    """

    name: str
    parts_ms: tuple[float, float, float, float]

    @property
    def total_ms(self) -> float:
        """All parts."""
        return sum(self.parts_ms)


def save_layer_chart(bars: Sequence[LayerBar], path: Path, *, title: str) -> None:
    """Save the picture.

    Args:
        bars: the layers, in the order of the network.
        path: file to write; ``.svg`` or ``.png``. In the SVG every bar has its layer and time as a tooltip.
        title: heading, such as the bundle's name and the time of the whole.

    Raises:
        OutputError: another suffix, or the file cannot be written.
    """
    save_drawing(_draw(bars, title), path)


def _draw(bars: Sequence[LayerBar], title: str) -> Drawing:
    rows, others = _rows(bars)
    total_ms = max(sum(bar.total_ms for bar in bars), 1e-6)
    longest = max(max((bar.total_ms for bar in rows), default=0.0), 1e-6)
    scale = (WIDTH_PX - LEFT_PX - RIGHT_PX) / longest
    floor = TOP_PX + ROW_PX * (len(rows) + bool(others))
    texts = [Text(20, 28, title), *_legend_texts()]
    rectangles = _legend_bars()
    rectangles.append(Rectangle(LEFT_PX, floor, WIDTH_PX - LEFT_PX - RIGHT_PX, 1, "#000000"))
    for tick in ticks(longest):
        at = LEFT_PX + tick * scale
        rectangles.insert(0, Rectangle(at, TOP_PX - 4, 1, floor - TOP_PX + 10, "#dddddd"))
        texts.append(Text(at, floor + 22, f"{tick:g}", "middle"))
    texts.append(Text((LEFT_PX + WIDTH_PX - RIGHT_PX) / 2, floor + 46, "estimated time / ms", "middle"))
    for row, bar in enumerate(rows):
        top = TOP_PX + ROW_PX * row
        base = top + BAR_PX - 3
        texts.append(Text(LEFT_PX - 10, base, without_beginning(bar.name, NAME_CHARACTERS, mark="..."), "end"))
        x: float = LEFT_PX
        tooltip = f"{bar.name}: {bar.total_ms:.3f} ms"
        for colour, part in zip(COLOURS.values(), bar.parts_ms, strict=True):
            if part > 0:
                rectangles.append(Rectangle(x, top, part * scale, BAR_PX, colour, tooltip))
            x += part * scale
        texts.append(Text(x + 8, base, f"{bar.total_ms:.2f} ms  {bar.total_ms / total_ms:.0%}"))
    if others:
        base = floor - ROW_PX + BAR_PX - 3
        rest_ms = sum(bar.total_ms for bar in others)
        texts.append(Text(LEFT_PX - 10, base, f"{len(others)} shorter ones", "end"))
        texts.append(Text(LEFT_PX + 8, base, f"{rest_ms:.2f} ms  {rest_ms / total_ms:.0%} together"))
    return Drawing(WIDTH_PX, floor + BOTTOM_PX, tuple(rectangles), tuple(texts))


def _rows(bars: Sequence[LayerBar]) -> tuple[list[LayerBar], list[LayerBar]]:
    """The layers that have a row of their own, and the others: of a long network the shortest."""
    if len(bars) <= MOST_ROWS:
        return list(bars), []
    shown = set(sorted(range(len(bars)), key=lambda place: -bars[place].total_ms)[: MOST_ROWS - 1])
    rows = [bar for place, bar in enumerate(bars) if place in shown]
    return rows, [bar for place, bar in enumerate(bars) if place not in shown]


def _legend_bars() -> list[Rectangle]:
    return [Rectangle(20 + 170 * place, 44, FONT_PX, FONT_PX, colour) for place, colour in enumerate(COLOURS.values())]


def _legend_texts() -> list[Text]:
    return [Text(20 + 170 * place + FONT_PX + 8, 44 + FONT_PX - 2, name) for place, name in enumerate(COLOURS)]
