"""The layouts by name."""

from __future__ import annotations

from collections.abc import Sequence

from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import UsageError
from oakpoint.tasks.boxes.layouts.base import Layout, Shape, Size
from oakpoint.tasks.boxes.layouts.maps import AnchoredMaps
from oakpoint.tasks.boxes.layouts.one_list import ChannelsFirst, ChannelsLast, OneForEachCell, OnItsGrid

LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (ChannelsFirst(), ChannelsLast(), AnchoredMaps(), OneForEachCell(), OnItsGrid())
}
"""Layouts by name, in the order in which a network's outputs are shown to them."""


def layout_of(name: str) -> Layout:
    """The layout of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in LAYOUTS:
        raise UsageError(f"boxes: expected a layout of {', '.join(LAYOUTS)}, got {name!r}")
    return LAYOUTS[name]


def layouts_that_fit(outputs: Sequence[TensorSpec], size: Size) -> dict[str, Shape]:
    """The layouts that a network's outputs may have, by name, with what each finds in them."""
    found = {name: layout.shape_of(outputs, size) for name, layout in LAYOUTS.items()}
    return {name: shape for name, shape in found.items() if shape is not None}
