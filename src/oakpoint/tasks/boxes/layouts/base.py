"""What a layout of a detector's outputs answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError

Size = tuple[int, int]
"""(W, H) in pixels."""

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Pixels of the image along a side of a cell, for each of a detector's maps: the usual ones; with a coarser or a finer
map beside them; of tiny networks."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All boxes that a network gives for one image, before any threshold.

    Attributes:
        corners: float32 (A, 4), x and y of the top-left and of the bottom-right corner in pixels of the tensor's
            image, counted from its top-left *corner*, as detectors count.
        scores: float32 (A, C) in [0, 1], one for each class.
    """

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a layout finds in a network's outputs.

    Attributes:
        classes: C.
        strides: of its maps, in pixels.
    """

    classes: int
    strides: tuple[int, ...]


class Layout(ABC):
    """One way to write boxes into tensors.

    Attributes:
        name: as a manifest has it, and ``--task boxes:NAME``.
        certain: whether no other layout looks like it.
        preset: threshold, IoU threshold and most boxes of an image that its authors take.
    """

    name: ClassVar[str]
    certain: ClassVar[bool] = True
    preset: ClassVar[tuple[float, float, int]]

    @abstractmethod
    def shape_of(self, outputs: Sequence[TensorSpec], size: Size) -> Shape | None:
        """Classes and strides of a network with these outputs for such images; None where it is laid out otherwise.

        A network that fits several sets of strides fits the first one.
        """

    @abstractmethod
    def candidates(self, tensors: Tensors, shape: Shape, size: Size) -> Candidates:
        """All boxes of one image.

        Args:
            tensors: the outputs, whose shapes were told to ``shape_of``, of any size of the image.
            shape: from ``shape_of``.
            size: of the image that the network was converted for, where the tensors do not tell theirs.

        Raises:
            BackendError: outputs of other shapes.
        """

    def only(self, tensors: Tensors) -> NDArray[np.float32]:
        """The one output, without its batch.

        Raises:
            BackendError: there are others, or more images.
        """
        arrays = list(tensors.values())
        if len(arrays) != 1 or arrays[0].ndim != 3 or arrays[0].shape[0] != 1:
            got = ", ".join(f"{name} {array.shape}" for name, array in tensors.items())
            raise BackendError(f"boxes: expected one output of rank 3 for one image ({self.name}), got {got}")
        return np.asarray(arrays[0][0], np.float32)


def cells(size: Size, strides: Sequence[int]) -> int:
    """How many cells the maps of an image have together."""
    return sum((size[0] // stride) * (size[1] // stride) for stride in strides)


def fits(size: Size, strides: Sequence[int]) -> bool:
    """Whether an image is a whole number of the largest cells, so that its maps have no rounding in them."""
    return size[0] % strides[-1] == size[1] % strides[-1] == 0


def grid_of(size: Size, strides: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of every cell, float32 (A, 2), and its stride, float32 (A, 1), map by map, row by row."""
    places, steps = [], []
    for stride in strides:
        columns, rows = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:rows, :columns]
        places.append(np.stack([x.ravel(), y.ravel()], axis=1))
        steps.append(np.full((rows * columns, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(steps).astype(np.float32)


def corners_of(centres: NDArray[np.float32], sizes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Corners (A, 4) of boxes by their centres and sizes, both (A, 2)."""
    half = sizes / 2
    return np.concatenate([centres - half, centres + half], axis=1)
