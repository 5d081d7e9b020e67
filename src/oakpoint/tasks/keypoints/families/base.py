"""What a family of keypoint networks is: how its outputs are told apart and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.features.types import CELL_PX, Outputs
from oakpoint.tasks.base import AS_THEY_ARE

FEWEST_VALUES = 8
"""Of a descriptor: fewer channels are something else."""


class Family(ABC):
    """Networks whose outputs have one form. Stateless; one instance each in ``registry.FAMILIES``.

    Attributes:
        name: as the manifest has it.
        heads: forms of the outputs that the device can give.
        step_px: the image's width and height are multiples of it.
        tensors: what the outputs are called in the chain, in its order.
        decode_preset: for a network of which nothing else is known.
        descriptor_axis: along which the values of one descriptor lie.
    """

    name: ClassVar[str]
    heads: ClassVar[tuple[str, ...]] = (AS_THEY_ARE,)
    step_px: ClassVar[int] = 8
    tensors: ClassVar[tuple[str, ...]]
    decode_preset: ClassVar[str] = "superpoint"
    descriptor_axis: ClassVar[int] = 1

    @abstractmethod
    def told_apart(self, outputs: tuple[TensorSpec, ...], image_size: tuple[int, int]) -> tuple[TensorSpec, ...] | None:
        """The outputs in the order of ``tensors``; None where they are another family's, or something else.

        Outputs under the chain's own names are taken by name, so that more may be given than are wanted.

        Args:
            outputs: of a network, in any order.
            image_size: (W, H) of its image in pixels.
        """

    @abstractmethod
    def read(self, tensors: Tensors, *, activated: bool) -> Outputs:
        """What ``decode`` takes, from the tensors of one image.

        Args:
            tensors: with the names in ``tensors``, or those of heads.
            activated: whether a score map holds probabilities already, and no logits.

        Raises:
            BackendError: other names or shapes.
        """


def image_size_of(interface: Interface) -> tuple[int, int] | None:
    """(W, H) of the image of a network that takes one and nothing else; None for another kind."""
    images = [given.preprocess for given in interface.inputs]
    return images[0].size if len(images) == 1 and images[0] is not None else None


def on_cells(grid: tuple[int | str, ...], image_size: tuple[int, int]) -> bool:
    """Whether a map (rows, columns) has one place for each cell of an image of (W, H) pixels.

    Cells at the edges that are no whole ones may be there or not: a size that a task does not take is told as that, and
    does not make another network of it.
    """
    sides = (image_size[1], image_size[0])
    return len(grid) == len(sides) and all(
        own in (side // CELL_PX, -(-side // CELL_PX)) for own, side in zip(grid, sides, strict=True)
    )


def by_names(outputs: tuple[TensorSpec, ...], names: tuple[str, ...]) -> tuple[TensorSpec, ...]:
    """The outputs of these names where all are there, and all outputs otherwise."""
    named: Mapping[str, TensorSpec] = {spec.name: spec for spec in outputs}
    return tuple(named[name] for name in names) if named.keys() >= set(names) else outputs
