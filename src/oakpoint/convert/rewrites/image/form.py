"""What is known of a tensor that is made of an image's raw levels: scale and shift between it and the device's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """A tensor of the host's graph as ``scale`` · (a tensor of the device's graph) + ``shift``.

    Attributes:
        tensor: the device's tensor, which holds levels as the camera gives them, moved or averaged.
        shape: of the device's tensor; where it has size 1 the host's may be larger, and is then the same all along.
        host_shape: of the host's tensor, of the same rank.
        scale: float64, broadcast against ``host_shape``, of size 1 along every axis on which it does not depend.
        shift: likewise.
    """

    tensor: str
    shape: Shape
    host_shape: Shape
    scale: Array
    shift: Array

    @property
    def is_plain(self) -> bool:
        """Whether the device's tensor is the host's."""
        return bool((self.scale == 1).all()) and not self.shift.any() and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether the device's tensor has the host's size."""
        return self.shape == self.host_shape

    @property
    def is_uniform(self) -> bool:
        """Whether scale and shift are one number each."""
        return self.scale.size == self.shift.size == 1

    @property
    def is_positive(self) -> bool:
        """Whether a larger level is a larger value everywhere."""
        return bool((self.scale > 0).all())

    def is_constant_along(self, axes: tuple[int, ...]) -> bool:
        """Whether scale and shift do not depend on these axes."""
        return all(array.shape[axis] == 1 for array in (self.scale, self.shift) for axis in axes)

    def along(self, axis: int) -> tuple[Array, Array]:
        """Scale and shift of each place along an axis, when they depend on no other."""
        length = self.host_shape[axis]
        return np.broadcast_to(self.scale.ravel(), length), np.broadcast_to(self.shift.ravel(), length)


def form(tensor: str, shape: Shape, host_shape: Shape, scale: Array, shift: Array) -> Form:
    """A ``Form`` whose scale and shift are made as small as they can be."""
    return Form(tensor, shape, host_shape, compact(scale), compact(shift))


def compact(values: Array) -> Array:
    """The same values with size 1 along every axis on which they do not depend."""
    for axis, length in enumerate(values.shape):
        if length > 1:
            first = values.take([0], axis=axis)
            if (values == first).all():
                values = first
    return np.asarray(values, np.float64)
