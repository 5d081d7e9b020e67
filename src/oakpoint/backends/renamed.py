"""A model whose inputs and outputs go by other names than its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors


class RenamedBackend(Backend):
    """Hands tensors to another backend under that one's names; outputs that have no new name are left out."""

    concurrent = True  # the inner one takes turns where it has to

    def __init__(self, inner: Backend, *, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
        """Take over a backend, which is closed with this one.

        Args:
            inner: the backend.
            inputs: its names of inputs → the new ones.
            outputs: its names of outputs → the new ones.
        """
        self._inner, self._inputs, self._outputs = inner, {new: own for own, new in inputs.items()}, dict(outputs)
        self.description = inner.description
        self.inputs = tuple(replace(spec, name=inputs.get(spec.name, spec.name)) for spec in inner.inputs)
        self.outputs = tuple(replace(spec, name=outputs[spec.name]) for spec in inner.outputs if spec.name in outputs)

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        results = self._inner.run({self._inputs.get(name, name): array for name, array in tensors.items()})
        return {new: results[own] for own, new in self._outputs.items()}

    def close(self) -> None:
        """Free what the inner backend holds."""
        self._inner.close()
