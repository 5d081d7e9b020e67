"""The families by name, the first that takes a network's outputs being its."""

from __future__ import annotations

from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.tasks.keypoints.families.base import Family, image_size_of
from oakpoint.tasks.keypoints.families.cells import Cells, CellsLast
from oakpoint.tasks.keypoints.families.reliability import CellsReliability
from oakpoint.tasks.keypoints.families.score_map import ScoreMap

FAMILIES: dict[str, Family] = {f.name: f for f in (Cells(), CellsLast(), CellsReliability(), ScoreMap())}
"""Families by name."""


def family_of(interface: Interface) -> tuple[Family, tuple[TensorSpec, ...]] | None:
    """The family of a network, and its outputs in the family's order; None for networks of another kind."""
    size = image_size_of(interface)
    if size is None:
        return None
    for family in FAMILIES.values():
        if (told := family.told_apart(interface.outputs, size)) is not None:
            return family, told
    return None
