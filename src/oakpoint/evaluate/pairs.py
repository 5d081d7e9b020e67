"""Sequences of images with known homographies, and what an extractor leaves of a pair of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SequenceImage:
    """An image that is read when its turn comes.

    Attributes:
        name: relative to the dataset's folder, with ``/``; by it a features file knows the image.
        read: gives uint8 (H, W) or (H, W, 3) BGR; raises ImageError.
    """

    name: str
    read: Callable[[], Image]


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A first image and others of the same plane.

    Attributes:
        name: of its folder or photograph.
        first: the image from which all pairs start.
        others: the other images.
        other_from_first: for each of them the homography (3, 3) from pixels of the first image.
    """

    name: str
    first: SequenceImage
    others: tuple[SequenceImage, ...]
    other_from_first: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A sequence that is left out, and why."""

    sequence: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Sequences, and those that could not be used.

    Attributes:
        name: for people: the folder, or how the pairs are made.
        sequences: in the order in which they are evaluated.
        skipped: malformed ones.
    """

    name: str
    sequences: tuple[Sequence, ...]
    skipped: tuple[Skipped, ...]

    @property
    def pairs(self) -> int:
        """How many pairs the sequences hold."""
        return sum(len(sequence.others) for sequence in self.sequences)
