"""Where in the image a layer is wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART_OF_PEAK = 0.5
"""The region holds every place whose error is at least so much of the largest."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """A part of an image.

    Attributes:
        image: its name.
        box: left, top, right and bottom edge in pixels of the network's input; right and bottom lie outside.
        rows: the first and last row of the layer's map.
        columns: likewise.
        channel: in which the largest error is.
        expected: the value there.
        got: what came in its place.
        picture: the network's input, uint8 (H, W) or (H, W, 3) BGR.
        errors: the largest error of all channels at each place of the map, float32.
    """

    image: str
    box: tuple[int, int, int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]
    channel: int
    expected: float
    got: float
    picture: NDArray[np.uint8]
    errors: NDArray[np.float32]


def region_of(
    expected: NDArray[np.float32], got: NDArray[np.float32], picture: NDArray[np.uint8], image: str
) -> Region | None:
    """The part of an image in which a layer is most wrong; None where its output is no map, or nothing is wrong.

    Args:
        expected: output of the layer, (C, H, W).
        got: what came in its place.
        picture: the network's input, uint8 (H, W) or (H, W, 3) BGR.
        image: its name.
    """
    if expected.ndim != 3 or min(expected.shape[1:]) < 2:
        return None
    errors = error_map(expected, got)
    largest = float(errors.max(initial=0.0))
    if not largest:
        return None
    rows, columns = np.nonzero(errors >= PART_OF_PEAK * largest)
    channel, row, column = np.unravel_index(int(_errors(expected, got).argmax()), expected.shape)
    height, width = errors.shape
    across, down = picture.shape[1] / width, picture.shape[0] / height
    box = (
        int(columns.min() * across),
        int(rows.min() * down),
        int(np.ceil((columns.max() + 1) * across)),
        int(np.ceil((rows.max() + 1) * down)),
    )
    return Region(
        image=image,
        box=box,
        rows=(int(rows.min()), int(rows.max())),
        columns=(int(columns.min()), int(columns.max())),
        channel=int(channel),
        expected=float(expected[channel, row, column]),
        got=float(got[channel, row, column]),
        picture=picture,
        errors=errors,
    )


def error_map(expected: NDArray[np.float32], got: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest error of all channels at each place, (H, W); what is not finite is as wrong as the largest finite."""
    return np.asarray(_errors(expected, got).max(axis=0), np.float32)


def _errors(expected: NDArray[np.float32], got: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore"):
        errors = np.abs(got - expected)
    finite = np.isfinite(errors)
    beyond = 2 * float(errors[finite].max(initial=0.0)) or 1.0
    known = np.isfinite(expected)
    return np.asarray(np.where(finite, errors, np.where(known, beyond, 0)), np.float32)


def region_facts(region: Region) -> dict[str, Any]:
    """The numbers of a region by name."""
    facts = {field.name: getattr(region, field.name) for field in fields(region)}
    return {name: value for name, value in facts.items() if not isinstance(value, np.ndarray)}
