"""A picture of a blob's stages over their estimated time: one bar a stage, in the row of the unit that runs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import OutputError
from oakpoint.files import replacing_file
from oakpoint.myriad.cost import CostEstimate, StageCost

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
FONT_PX: Final = 14
TARGET_TICKS: Final = 10


@dataclass(frozen=True, slots=True)
class _Rectangle:
    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class _Drawing:
    height: int
    rectangles: tuple[_Rectangle, ...]
    texts: tuple[_Text, ...]


def save_timeline(estimate: CostEstimate, path: Path, *, title: str = "") -> None:
    """Save the picture.

    Args:
        estimate: of the blob.
        path: file to write; ``.svg`` or ``.png``. In the SVG every bar has its stage and time as a tooltip.
        title: heading, such as the blob's name.

    Raises:
        OutputError: another suffix, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    drawing = _draw(estimate, title)
    if suffix == ".svg":
        content = _svg(drawing).encode()
    elif suffix == ".png":
        content = _png(drawing)
    else:
        raise OutputError(f"{path}: a timeline is saved as .svg or .png")
    with replacing_file(path) as temporary:
        temporary.write_bytes(content)


def _draw(estimate: CostEstimate, title: str) -> _Drawing:
    total_ms = max(estimate.total_ms, 1e-6)
    scale = (WIDTH_PX - LEFT_PX - RIGHT_PX) / total_ms
    height = TOP_PX + ROW_PX * len(UNITS) + BOTTOM_PX
    floor = TOP_PX + ROW_PX * len(UNITS)
    low, high = estimate.range_ms
    heading = f"{title}: " if title else ""
    heading += f"{estimate.total_ms:.1f} ms estimated on one engine ({low:.0f} to {high:.0f} ms)"
    texts = [_Text(LEFT_PX, 24, heading), _Text(LEFT_PX, 46, _totals(estimate))]
    rectangles = []
    for row, unit in enumerate(UNITS):
        top = TOP_PX + ROW_PX * row
        time_ms = sum(stage.total_ms for stage in estimate.stages if stage.unit == unit)
        texts.append(_Text(LEFT_PX - 10, top + BAR_PX / 2, unit, "end"))
        texts.append(_Text(LEFT_PX - 10, top + BAR_PX / 2 + FONT_PX + 3, f"{time_ms:.1f} ms", "end"))
        rectangles += [_bar(stage, top, scale) for stage in estimate.stages if stage.unit == unit]
    rectangles.append(_Rectangle(LEFT_PX, floor, WIDTH_PX - LEFT_PX - RIGHT_PX, 1, "#000000"))
    for tick in _ticks(total_ms):
        x = LEFT_PX + tick * scale
        rectangles.append(_Rectangle(x, floor, 1, 6, "#000000"))
        texts.append(_Text(x, floor + 22, f"{tick:g}", "middle"))
    texts.append(_Text((LEFT_PX + WIDTH_PX - RIGHT_PX) / 2, floor + 46, "estimated time / ms", "middle"))
    return _Drawing(height, tuple(rectangles), tuple(texts))


def _totals(estimate: CostEstimate) -> str:
    return (
        f"{len(estimate.stages)} stages, {estimate.macs / 1e9:.3g} G multiply-accumulates, "
        f"{estimate.ddr_bytes / 1e6:.3g} MB over DDR, {estimate.shaves} SHAVEs"
    )


def _bar(stage: StageCost, top: float, scale: float) -> _Rectangle:
    tooltip = f"{stage.index} {stage.name}: {stage.total_ms:.3f} ms"
    width = stage.total_ms * scale
    gap = min(0.5, width / 4)
    return _Rectangle(LEFT_PX + stage.start_ms * scale, top, width - gap, BAR_PX, COLOURS[stage.unit], tooltip)


def _ticks(total: float) -> Sequence[float]:
    """Round numbers from 0 to ``total``, about ``TARGET_TICKS`` of them."""
    raw = total / TARGET_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return [index * step for index in range(math.floor(total / step + 1e-9) + 1)]


def _svg(drawing: _Drawing) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{drawing.height}" '
        f'viewBox="0 0 {WIDTH_PX} {drawing.height}" font-family="sans-serif" font-size="{FONT_PX}">',
        f'<rect width="{WIDTH_PX}" height="{drawing.height}" fill="#ffffff"/>',
    ]
    for r in drawing.rectangles:
        tooltip = f"<title>{escape(r.title)}</title>" if r.title else ""
        lines.append(
            f'<rect x="{r.x:.2f}" y="{r.y:.2f}" width="{r.width:.2f}" height="{r.height:.2f}" fill="{r.colour}">'
            f"{tooltip}</rect>"
        )
    lines += [
        f'<text x="{t.x:.1f}" y="{t.y:.1f}" text-anchor="{t.anchor}">{escape(t.text)}</text>' for t in drawing.texts
    ]
    return "\n".join([*lines, "</svg>", ""])


def _png(drawing: _Drawing) -> bytes:
    # Drawn four times as large and shrunk, so that bars thinner than a pixel show as a tint and not as a comb.
    factor = 4
    large = np.full((drawing.height * factor, WIDTH_PX * factor, 3), 255, np.uint8)
    for r in drawing.rectangles:
        left, top = round(r.x * factor), round(r.y * factor)
        right, bottom = max(left + 1, round((r.x + r.width) * factor)), round((r.y + r.height) * factor)
        large[top:bottom, left:right] = _bgr(r.colour)
    image: NDArray[np.uint8] = np.asarray(
        cv2.resize(large, (WIDTH_PX, drawing.height), interpolation=cv2.INTER_AREA), np.uint8
    )
    for t in drawing.texts:
        _put_text(image, t)
    encoded, data = cv2.imencode(".png", image)
    if not encoded:
        raise OutputError("the timeline could not be encoded as PNG")
    return data.tobytes()


def _put_text(image: NDArray[np.uint8], text: _Text) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, FONT_PX / 29.0  # Hershey capitals are about 21 px high at size 1
    (width, _), _ = cv2.getTextSize(text.text, font, size, 1)
    offset = {"start": 0, "middle": width / 2, "end": width}[text.anchor]
    origin = (round(text.x - offset), round(text.y))
    cv2.putText(image, text.text, origin, font, size, (0, 0, 0), 1, cv2.LINE_AA)


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red
