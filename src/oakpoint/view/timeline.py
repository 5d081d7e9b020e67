"""A picture of a blob's stages over their estimated time: one bar a stage, in the row of the unit that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from oakpoint.myriad.cost import CostEstimate, StageCost
from oakpoint.view.drawing import FONT_PX, Drawing, Rectangle, Text, save_drawing, ticks

UNITS: Final = ("NCE", "SHAVE", "DMA")
COLOURS: Final = {"NCE": "#3b6ea5", "SHAVE": "#c8782d", "DMA": "#5f8f4e"}
"""Colour of the bars of each unit: the convolution engine, the vector processors, transfers on their own."""

WIDTH_PX: Final = 1200
LEFT_PX: Final = 80
RIGHT_PX: Final = 30
TOP_PX: Final = 64
ROW_PX: Final = 84
BAR_PX: Final = 60
BOTTOM_PX: Final = 62


def save_timeline(estimate: CostEstimate, path: Path, *, title: str = "") -> None:
    """Save the picture.

    Args:
        estimate: of the blob.
        path: file to write; ``.svg`` or ``.png``. In the SVG every bar has its stage and time as a tooltip.
        title: heading, such as the blob's name.

    Raises:
        OutputError: another suffix, or the file cannot be written.
    """
    save_drawing(_draw(estimate, title), path)


def _draw(estimate: CostEstimate, title: str) -> Drawing:
    total_ms = max(estimate.total_ms, 1e-6)
    scale = (WIDTH_PX - LEFT_PX - RIGHT_PX) / total_ms
    height = TOP_PX + ROW_PX * len(UNITS) + BOTTOM_PX
    floor = TOP_PX + ROW_PX * len(UNITS)
    low, high = estimate.range_ms
    heading = f"{title}: " if title else ""
    heading += f"{estimate.total_ms:.1f} ms estimated on one engine ({low:.0f} to {high:.0f} ms)"
    texts = [Text(LEFT_PX, 24, heading), Text(LEFT_PX, 46, _totals(estimate))]
    rectangles = []
    for row, unit in enumerate(UNITS):
        top = TOP_PX + ROW_PX * row
        time_ms = sum(stage.total_ms for stage in estimate.stages if stage.unit == unit)
        texts.append(Text(LEFT_PX - 10, top + BAR_PX / 2, unit, "end"))
        texts.append(Text(LEFT_PX - 10, top + BAR_PX / 2 + FONT_PX + 3, f"{time_ms:.1f} ms", "end"))
        rectangles += [_bar(stage, top, scale) for stage in estimate.stages if stage.unit == unit]
    rectangles.append(Rectangle(LEFT_PX, floor, WIDTH_PX - LEFT_PX - RIGHT_PX, 1, "#000000"))
    for tick in ticks(total_ms):
        x = LEFT_PX + tick * scale
        rectangles.append(Rectangle(x, floor, 1, 6, "#000000"))
        texts.append(Text(x, floor + 22, f"{tick:g}", "middle"))
    texts.append(Text((LEFT_PX + WIDTH_PX - RIGHT_PX) / 2, floor + 46, "estimated time / ms", "middle"))
    return Drawing(WIDTH_PX, height, tuple(rectangles), tuple(texts))


def _totals(estimate: CostEstimate) -> str:
    return (
        f"{len(estimate.stages)} stages, {estimate.macs / 1e9:.3g} G multiply-accumulates, "
        f"{estimate.ddr_bytes / 1e6:.3g} MB over DDR, {estimate.shaves} SHAVEs"
    )


def _bar(stage: StageCost, top: float, scale: float) -> Rectangle:
    tooltip = f"{stage.index} {stage.name}: {stage.total_ms:.3f} ms"
    width = stage.total_ms * scale
    gap = min(0.5, width / 4)
    return Rectangle(LEFT_PX + stage.start_ms * scale, top, width - gap, BAR_PX, COLOURS[stage.unit], tooltip)
