"""How an AVIF file says that its picture is to be turned; for JPEG, PNG and WebP OpenCV knows.

Source: ISO/IEC 23008-12:2022, 6.5.10 (``irot``: quarter turns anticlockwise) and 6.5.12 (``imir``: axis 0 swaps top and
bottom, axis 1 left and right); the turn comes first, as libavif writes and applies them. Such a file has no EXIF
orientation that counts.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_BRANDS = (b"avif", b"avis")
_TURN = re.compile(rb"\0\0\0\x09irot(.)", re.DOTALL)
_MIRROR = re.compile(rb"\0\0\0\x09imir(.)", re.DOTALL)


def is_avif(data: bytes) -> bool:
    """Whether a file's content begins as an AVIF image does."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS


def upright_avif(data: bytes, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """The decoded picture (H, W) or (H, W, C) of an AVIF file turned and mirrored as the file says."""
    header = data[: data.find(b"mdat")] if b"mdat" in data else data
    if turn := _TURN.search(header):
        pixels = np.rot90(pixels, turn[1][0] & 3)
    if mirror := _MIRROR.search(header):
        pixels = np.flip(pixels, mirror[1][0] & 1)
    return np.ascontiguousarray(pixels)
