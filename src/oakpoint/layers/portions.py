"""Tensors of a network in portions, so that memory stays bounded when all of them are looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_FLOAT32 = 4
"""Bytes of a value."""


def portions(names: Sequence[str], shapes: Mapping[str, Sequence[int]], most_bytes: int) -> list[list[str]]:
    """Consecutive tensors in lists of at most so many bytes as float32; one that is larger stands by itself."""
    found: list[list[str]] = []
    room = 0
    for name in names:
        size = _FLOAT32 * math.prod(shapes[name])
        if not found or size > room:
            found.append([])
            room = most_bytes
        found[-1].append(name)
        room -= size
    return found
