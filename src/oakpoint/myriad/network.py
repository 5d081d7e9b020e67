"""The network that a blob was compiled from, as far as the stage map needs it: names, order and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

ACTIVATIONS: Final = frozenset({"Relu", "LeakyRelu", "PRelu", "Clip"})
"""Operators that the compiler computes together with the layer before them."""


@dataclass(frozen=True, slots=True)
class NetworkLayer:
    """A layer: its name, its operator, and the tensors that it reads and puts out."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@final
class Network:
    """A network's layers and tensors by name.

    Args:
        layers: in the order of execution.
        shapes: of its tensors, as far as they are known.
    """

    def __init__(
        self, layers: Sequence[NetworkLayer] = (), shapes: Mapping[str, tuple[int, ...]] | None = None
    ) -> None:
        self.shapes = dict(shapes or {})
        self._layers = tuple(layers)
        self._places = {layer.name: place for place, layer in enumerate(layers) if layer.name}
        self._places |= {name: place for place, layer in enumerate(layers) for name in layer.outputs if name}
        self._numbered = {
            f"{shared}.{number}": name
            for layer in layers
            if len(layer.outputs) > 1
            for shared in layer.outputs
            for number, name in enumerate(layer.outputs)
        }
        self._readers: dict[str, list[int]] = {}
        for place, layer in enumerate(layers):
            for name in dict.fromkeys(layer.inputs):
                self._readers.setdefault(name, []).append(place)
        self._after = self._masks()

    def _masks(self) -> list[int]:
        masks = [0] * len(self._layers)
        for place in reversed(range(len(self._layers))):
            for name in self._layers[place].outputs:
                for reader in self._readers.get(name, []):
                    if reader > place:
                        masks[place] |= masks[reader] | 1 << reader
        return masks

    def name_of(self, name: str) -> str:
        """The network's own name of a tensor: of the outputs of one layer the compiler has a name and numbers."""
        return self._numbered.get(name, name)

    def place(self, name: str) -> int | None:
        """The place of the layer that puts a tensor out, or is called so; None for a name that is not known."""
        return self._places.get(self.name_of(name))

    def after(self, name: str) -> int:
        """The layers that depend on a tensor, a bit for each place; none for a name that is not known."""
        place = self.place(name)
        return 0 if place is None else self._after[place]

    def activated(self, name: str) -> str:
        """The tensor that an activation makes of a tensor, where only that reads it; else the tensor itself."""
        readers = self._readers.get(name, [])
        if len(readers) == 1 and self._layers[readers[0]].operator in ACTIVATIONS:
            return self._layers[readers[0]].outputs[0]
        return name
