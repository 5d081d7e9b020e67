"""A model that is fixed to several images at once, run on one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors


class BatchedBackend(Backend):
    """One image of a batch, the others being shifted copies of it: what leaks from one image to another shows.

    The image takes the first place of the batch, then the last, then each between, run by run, so that none is left out
    where there are as many runs as places.
    """

    def __init__(self, inner: Backend) -> None:
        """Take over a backend, which is closed with this one.

        Args:
            inner: a backend whose inputs and outputs have the batch as their first dimension.
        """
        self._inner = inner
        self._batch = int(inner.inputs[0].shape[0])
        self._runs = 0
        self.description = f"{inner.description}, batch {self._batch}"
        self.inputs = tuple(replace(spec, shape=(1, *spec.shape[1:])) for spec in inner.inputs)
        self.outputs = tuple(replace(spec, shape=(1, *spec.shape[1:])) for spec in inner.outputs)

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        order = [0, self._batch - 1, *range(1, self._batch - 1)][: self._batch]
        place = order[self._runs % self._batch]
        self._runs += 1
        results = self._inner.run({name: self._filled(array, place) for name, array in tensors.items()})
        return {name: array[place : place + 1] for name, array in results.items()}

    def _filled(self, array: NDArray[Any], place: int) -> NDArray[Any]:
        shift = max(array.shape[-1] // (2 * self._batch), 1)
        return np.concatenate([np.roll(array, (index - place) * shift, axis=-1) for index in range(self._batch)])

    def close(self) -> None:
        """Free what the inner backend holds."""
        self._inner.close()
