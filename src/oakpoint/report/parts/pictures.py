"""Pictures on a page: held by it as text, smaller and coarser where the page would be too large otherwise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.view.picture import data_uri


@dataclass(frozen=True, slots=True)
class Level:
    """How much of everything is on a page.

    Attributes:
        side_px: of the longer side, at most.
        quality: of the encoder, 1 to 100.
        pictures: whether there are pictures and drawings at all.
        characters: of a text, at most; nobody reads on where it is longer.
    """

    side_px: int
    quality: int
    pictures: bool = True
    characters: int = 2_000


LEVELS = (
    Level(1280, 80),
    Level(1024, 72),
    Level(800, 64),
    Level(640, 56),
    Level(480, 48),
    Level(320, 40),
    Level(0, 0, pictures=False),
    Level(0, 0, pictures=False, characters=300),
    Level(0, 0, pictures=False, characters=60),
)
"""From the best to the smallest; a page takes the first with which it is small enough."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture, before it is encoded.

    Attributes:
        pixels: uint8 (H, W) or (H, W, 3) BGR.
    """

    pixels: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def uri(self, level: Level) -> str:
        """The text that holds it at a level."""
        width, height = self.size
        factor = min(1.0, level.side_px / max(width, height))
        pixels = self.pixels
        if factor < 1:
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        return data_uri(pixels, "image/webp", quality=level.quality)
