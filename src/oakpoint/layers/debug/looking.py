"""What is asked of a form of a network whose layers are looked at one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError

Run: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], Tensors]
"""Inputs, and tensors that are given beside them, to the tensors that were asked for."""

Shape: TypeAlias = tuple[int, ...]

LEAST_VALUES: Final = 2
"""Tensors of fewer are numbers that the graph calculates with, not something that a layer finds."""


class DamagedError(BackendError):
    """A form of a network whose file is not what its kind has to be."""


class Seen(ABC):
    """A network in one form, of which every tensor can be had by name.

    Attributes:
        shapes: of the floating-point tensors that its layers give, by name, in the order of execution.
    """

    shapes: Mapping[str, Shape]

    @abstractmethod
    def run(self, names: Sequence[str]) -> Run:
        """Prepare runs of the whole network that give these tensors, as float32.

        Raises:
            BackendError: the runtime does not take it; a run raises it, too.
        """


class Divisible(Seen):
    """A form of a network whose layers can be run apart from each other, on tensors that are given."""

    @abstractmethod
    def read_by(self, names: Iterable[str], given: Collection[str]) -> set[str]:
        """Those of the given tensors that others are calculated from directly: not by way of further given ones."""

    @abstractmethod
    def run_apart(self, names: Sequence[str], given: Collection[str]) -> Run:
        """Prepare runs in which every layer reads the given tensors in place of what the layers before it made.

        Args:
            names: of the tensors that are wanted; they may be among the given ones, and are calculated all the same.
            given: names of tensors that each run is given.

        Raises:
            BackendError: the runtime does not take it; a run raises it, too.
        """


def in_fp16(array: NDArray[Any]) -> NDArray[np.float32]:
    """Values as FP16 has them; what is too large for it stays, since an overflow is no rounding."""
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float16).astype(np.float32)
    return np.where(np.isfinite(rounded), rounded, array)
