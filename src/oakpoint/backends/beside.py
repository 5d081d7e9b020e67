"""Two models on the same inputs: the outputs of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors


@final
class BesideBackend(Backend):
    """Gives the outputs of one model, and those of another that it does not have itself."""

    concurrent = True  # the two within take turns where they have to

    def __init__(self, first: Backend, second: Backend) -> None:
        """Take over two backends with the same inputs, which are closed with this one."""
        self._first, self._second = first, second
        self.description = f"{first.description}, and {second.description}"
        self.inputs = first.inputs
        own = {spec.name for spec in first.outputs}
        self.outputs = (*first.outputs, *(spec for spec in second.outputs if spec.name not in own))

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        taken = {spec.name for spec in self._second.inputs}
        further = self._second.run({name: array for name, array in tensors.items() if name in taken})
        return further | self._first.run(tensors)

    def close(self) -> None:
        """Free what both hold."""
        try:
            self._first.close()
        finally:
            self._second.close()
