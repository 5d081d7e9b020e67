"""Sizes of images as they are written and given: (W, H) in pixels."""

from __future__ import annotations

import operator
import re
from typing import Literal

import numpy as np

from oakpoint.errors import UsageError

Size = tuple[int, int]
"""(W, H) in pixels."""

SIZE_TEXT = re.compile(r"([0-9]+)[x×]([0-9]+)", re.IGNORECASE)
"""WIDTHxHEIGHT."""


def size_from(given: object) -> Size:
    """(W, H) in pixels from a pair of whole numbers (tuple, list or array), or from text such as ``320x200``.

    Raises:
        UsageError: anything else; a single number is not taken for a square.
    """
    if isinstance(given, str):
        if text := SIZE_TEXT.fullmatch(given):
            return int(text[1]), int(text[2])
        raise UsageError(f"size: expected WIDTHxHEIGHT in pixels, such as 320x200, got {given!r}")
    sides = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(sides, (tuple, list)) and len(sides) == 2:
        width, height = map(_whole, sides)
        if width is not None and height is not None:
            return width, height
    raise UsageError(f"size: expected (width, height) in whole pixels, such as (320, 200), got {given!r}")


def size_or_native(given: object) -> Size | Literal["native"] | None:
    """As ``size_from``; and ``native`` for each image's own size, or None where nothing is said."""
    if given is None:
        return None
    return "native" if isinstance(given, str) and given == "native" else size_from(given)


def _whole(side: object) -> int | None:
    try:
        return None if isinstance(side, (bool, np.bool_)) else operator.index(side)  # type: ignore[arg-type]
    except TypeError:
        return None
