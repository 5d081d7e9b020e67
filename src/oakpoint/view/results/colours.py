"""Colours of classes, and texts that OpenCV can draw."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.view.draw import Colour

GOLDEN_RATIO = 0.6180339887498949
"""Steps of this share of the circle of hues keep any number of colours apart."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GROUND: Colour = (30, 26, 24)
_TEXT: Colour = (238, 236, 234)


def class_colour(index: int) -> Colour:
    """The colour of a class, bright, the same for the same number."""
    hue = round((0.08 + index * GOLDEN_RATIO) % 1 * 180) % 180
    value = 255 if index // 6 % 2 == 0 else 200
    (b, g, r) = cv2.cvtColor(np.array([[[hue, 200, value]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return int(b), int(g), int(r)


def drawable_text(text: str) -> str:
    """A text with question marks for what OpenCV's letters do not have."""
    return text.encode("ascii", "replace").decode()


def text_scale(image: NDArray[np.uint8]) -> float:
    """OpenCV's font scale for an image, so that a line is some 3 % of it, and never too small to read."""
    return float(min(max(image.shape[1] / 1280, 0.4), 1.2))


def put_label(canvas: NDArray[np.uint8], text: str, left: int, bottom: int, ground: Colour) -> None:
    """Draw a short text on ground of a colour, in place; its bottom left corner is kept within the image."""
    scale = text_scale(canvas)
    (width, height), below = cv2.getTextSize(drawable_text(text), _FONT, scale, 1)
    pad = max(2, round(4 * scale))
    left = max(min(left, canvas.shape[1] - width - 2 * pad), 0)
    bottom = min(max(bottom, height + below + pad), canvas.shape[0] - 1)
    cv2.rectangle(canvas, (left, bottom - height - below - pad), (left + width + 2 * pad, bottom), ground, cv2.FILLED)
    dark = sum(ground) < 380
    shade = _TEXT if dark else _GROUND
    cv2.putText(canvas, drawable_text(text), (left + pad, bottom - below), _FONT, scale, shade, 1, cv2.LINE_AA)


def put_list(canvas: NDArray[np.uint8], rows: Sequence[tuple[str, Colour, float]]) -> None:
    """Draw rows of a text over a bar of a colour at the top left, in place.

    Args:
        canvas: uint8 (H, W, 3) BGR.
        rows: each a text, the colour of its bar, and the bar's length as a share of the list's width, 0 to 1.
    """
    scale = text_scale(canvas)
    sizes = [cv2.getTextSize(drawable_text(text), _FONT, scale, 1)[0] for text, _, _ in rows]
    if not sizes:
        return
    pad, line, bar = round(10 * scale), round(40 * scale), max(2, round(5 * scale))
    width = min(max(max(size[0] for size in sizes) + 2 * pad, round(160 * scale)), canvas.shape[1])
    shown = rows[: max(1, (canvas.shape[0] - pad) // line)]
    ground = canvas[: pad + line * len(shown), :width]
    ground[:] = cv2.addWeighted(ground, 0.3, np.full_like(ground, _GROUND), 0.7, 0)
    for number, (text, colour, share) in enumerate(shown):
        bottom = line * (number + 1)
        cv2.putText(canvas, drawable_text(text), (pad, bottom - 2 * bar), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
        end = pad + round(min(max(share, 0.0), 1.0) * (width - 2 * pad))
        cv2.rectangle(canvas, (pad, bottom - bar + 2), (max(end, pad), bottom + 1), colour, cv2.FILLED)
