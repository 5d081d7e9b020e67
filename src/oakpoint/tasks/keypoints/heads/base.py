"""What a form of a keypoint network's outputs on the device is: one class, one file each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.features.types import Outputs
from oakpoint.images.preprocess import Preprocess

SEMI, DESC = "semi", "desc"
HEATMAP, DESCRIPTORS = "heatmap", "descriptors"

Images = Mapping[str, NDArray[np.uint8]]
Form = Callable[[Outputs], Outputs]


@dataclass(frozen=True, slots=True)
class Heads:
    """Which heads, with what was measured for them.

    Attributes:
        name: one of ``registry.HEADS``.
        descriptor_scale: what the descriptors are multiplied with before anything else, folded into the convolution
            that they come from; see ``descriptor_norm.scale_for_norms``. None leaves them as they are.
        descriptor_values: K, for heads ``reduced``.
    """

    name: str
    descriptor_scale: float | None = None
    descriptor_values: int | None = None

    def with_scale(self, scale: float) -> Heads:
        """The same heads with a measured ``descriptor_scale``."""
        return replace(self, descriptor_scale=scale)

    def with_values(self, values: int) -> Heads:
        """The same heads with a measured ``descriptor_values``."""
        return replace(self, descriptor_values=values)


class Head(ABC):
    """One form of outputs: how it is made, measured, read and compared.

    Attributes:
        name: as ``--heads`` takes it.
        tensors: names of the outputs; heads with the same names are read alike.
    """

    name: ClassVar[str]
    tensors: ClassVar[tuple[str, str]] = (HEATMAP, DESCRIPTORS)

    @abstractmethod
    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        """Append operators that make these outputs of ``semi`` and ``desc``, and make them the graph's.

        Args:
            graph: changed in place; opset 13.
            size: (W, H) of the image in pixels.
            heads: what was measured.

        Raises:
            UsageError: what has to be measured is missing.
            ConversionError: the network cannot have these heads.
        """

    @abstractmethod
    def read(self, tensors: Tensors) -> Outputs:
        """The outputs of one image, from tensors with the names in ``tensors``.

        Raises:
            FeaturesError: tensors of other shapes.
        """

    def measured(self, onnx: Path, images: Images, preprocess: Preprocess) -> tuple[Heads, str]:
        """These heads with what they need to know of a network, and a note on it; an empty note where that is nothing.

        Args:
            onnx: the host's model.
            images: real images by name.
            preprocess: how they become its input.

        Raises:
            BackendError: the model cannot be run.
            ConversionError: it cannot have these heads.
        """
        del onnx, images, preprocess
        return Heads(self.name), ""

    def reference_form(self) -> Form:
        """What is made of the network's own outputs before these are compared with them."""
        return as_it_is

    def candidate_form(self, onnx: Path) -> Form:
        """What is made of these outputs before they are compared with those of the network in ``onnx``."""
        del onnx
        return as_it_is


def as_it_is(outputs: Outputs) -> Outputs:
    """No change of form."""
    return outputs
