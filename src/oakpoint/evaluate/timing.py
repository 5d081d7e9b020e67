"""Features with the time that they took."""

from __future__ import annotations

from dataclasses import dataclass

from oakpoint.features.types import Features


@dataclass(frozen=True, slots=True, eq=False)
class Timed:
    """Features of one image.

    Attributes:
        features: in pixels of the image that was given.
        milliseconds: what extraction took, preprocessing and decoding with it; NaN where nothing was extracted.
        runtime: what extracted: runtime, version, device and precision.
    """

    features: Features
    milliseconds: float
    runtime: str
