"""Sequences of images with known homographies: descriptions, whose pixels are made when they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An image of the plane that a sequence's first image shows.

    Attributes:
        image: uint8 (H, W) or (H, W, 3) BGR.
        other_from_first: homography (3, 3) from pixels of the first image to those of this one.
    """

    image: Image
    other_from_first: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SequenceImage:
    """A sequence's first image, which is read or made when its turn comes.

    Attributes:
        name: relative to the dataset's folder, with ``/``; by it a features file knows the image.
        read: gives uint8 (H, W) or (H, W, 3) BGR, the same every time; raises ImageError.
    """

    name: str
    read: Callable[[], Image]


@dataclass(frozen=True, slots=True, eq=False)
class SequenceView:
    """Another image of a sequence, which is read or made when its turn comes.

    Attributes:
        name: as that of ``SequenceImage``.
        read: gives the image and its homography, the same every time and in any order; raises ImageError.
    """

    name: str
    read: Callable[[], View]


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A first image and others of the same plane; holds no pixels.

    Attributes:
        name: of its folder or photograph.
        first: the image from which all pairs start.
        others: the other images, each of which makes a pair with the first.
    """

    name: str
    first: SequenceImage
    others: tuple[SequenceView, ...]


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
