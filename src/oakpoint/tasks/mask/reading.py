"""From a network's output to the class of every place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError

Activation = Literal["found", "sigmoid", "none"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PixelReader:
    """Reads one output (1, C, rows, columns).

    Attributes:
        channels: C. Of several, the class with the largest value is a pixel's; one is what a pixel is or is not.
        activation: see ``MaskTask``.
        threshold: of one channel, the probability from which on a pixel is one.
    """

    channels: int
    activation: Activation
    threshold: float

    @property
    def classes(self) -> int:
        """How many classes there are, with what a single channel is not."""
        return max(self.channels, 2)

    def values(self, tensors: Tensors) -> NDArray[np.float32]:
        """The network's values, float32 (C, rows, columns).

        Raises:
            BackendError: outputs of another kind of network.
        """
        array = next(iter(tensors.values())) if len(tensors) == 1 else np.zeros(0)
        if array.ndim != 4 or array.shape[:2] != (1, self.channels):
            got = ", ".join(f"{name} {array.shape}" for name, array in tensors.items())
            raise BackendError(f"expected one output (1, {self.channels}, rows, columns), got {got}")
        return np.asarray(array[0], np.float32)

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the classes of each place, float32 (C, rows, columns), two for one channel.

        Of one channel, what ``threshold`` stands for becomes one half.
        """
        if self.channels > 1:
            if values.min() >= 0 and values.max() <= 1:  # a softmax or sigmoids already
                return values
            shifted = np.exp((values - values.max(axis=0)).astype(np.float64))
            return np.asarray(shifted / shifted.sum(axis=0), np.float32)
        given = values[0].astype(np.float64)
        if self.level(values) != self.threshold:
            given = 1 / (1 + np.exp(-np.clip(given, -60, 60)))
        likely = np.interp(given, [0, self.threshold, 1], [0, 0.5, 1])
        return np.stack([1 - likely, likely]).astype(np.float32)

    def class_of(self, values: NDArray[np.float32]) -> NDArray[np.int16]:
        """The class of each place, int16 (rows, columns), of values (C, rows, columns); the first of equal ones."""
        if self.channels > 1:
            return np.asarray(values.argmax(axis=0), np.int16)
        return np.asarray(values[0] >= self.level(values), np.int16)

    def level(self, values: NDArray[np.float32]) -> float:
        """The value that ``threshold`` stands for, of one channel (1, rows, columns)."""
        probabilities = self.activation == "none"
        if self.activation == "found":
            probabilities = bool(values.min() >= 0 and values.max() <= 1)
        return self.threshold if probabilities else float(np.log(self.threshold / (1 - self.threshold)))
