"""Simple drawings of bars and words, as an SVG or as a PNG: no chart library is needed for them."""

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
from oakpoint.view.picture import encoded

FONT_PX: Final = 14
TARGET_TICKS: Final = 10


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A filled rectangle, from its left top corner, in pixels; the SVG shows its title as a tooltip."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A line of words; ``anchor`` says which end of it is at ``x``: ``start``, ``middle`` or ``end``."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Drawing:
    """Rectangles and words over them, on white; sizes in pixels."""

    width: int
    height: int
    rectangles: tuple[Rectangle, ...]
    texts: tuple[Text, ...]


def save_drawing(drawing: Drawing, path: Path) -> None:
    """Save a drawing.

    Args:
        drawing: what to save.
        path: file to write; ``.svg`` or ``.png``.

    Raises:
        OutputError: another suffix, or the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".svg":
        content = _svg(drawing).encode()
    elif suffix == ".png":
        content = _png(drawing)
    else:
        raise OutputError(f"{path}: the picture is saved as .svg or .png")
    with replacing_file(path) as temporary:
        temporary.write_bytes(content)


def ticks(total: float) -> Sequence[float]:
    """Round numbers from 0 to ``total``, about ``TARGET_TICKS`` of them."""
    raw = total / TARGET_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return [index * step for index in range(math.floor(total / step + 1e-9) + 1)]


def _svg(drawing: Drawing) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{drawing.width}" height="{drawing.height}" '
        f'viewBox="0 0 {drawing.width} {drawing.height}" font-family="sans-serif" font-size="{FONT_PX}">',
        f'<rect width="{drawing.width}" height="{drawing.height}" fill="#ffffff"/>',
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


def _png(drawing: Drawing) -> bytes:
    # Drawn four times as large and shrunk, so that bars thinner than a pixel show as a tint and not as a comb.
    factor = 4
    large = np.full((drawing.height * factor, drawing.width * factor, 3), 255, np.uint8)
    for r in drawing.rectangles:
        left, top = round(r.x * factor), round(r.y * factor)
        right, bottom = max(left + 1, round((r.x + r.width) * factor)), round((r.y + r.height) * factor)
        large[top:bottom, left:right] = _bgr(r.colour)
    image: NDArray[np.uint8] = np.asarray(
        cv2.resize(large, (drawing.width, drawing.height), interpolation=cv2.INTER_AREA), np.uint8
    )
    for t in drawing.texts:
        _put_text(image, t)
    return encoded(image, ".png")


def _put_text(image: NDArray[np.uint8], text: Text) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, FONT_PX / 29.0  # Hershey capitals are about 21 px high at size 1
    (width, _), _ = cv2.getTextSize(text.text, font, size, 1)
    offset = {"start": 0, "middle": width / 2, "end": width}[text.anchor]
    origin = (round(text.x - offset), round(text.y))
    cv2.putText(image, text.text, origin, font, size, (0, 0, 0), 1, cv2.LINE_AA)


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red
