"""The layers of the user's network, by the names that the user knows, and which of them a rewritten layer is of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.rewrites.base import first_output, name_of

_LABEL = re.compile(
    r"layer (?P<quote>['\"])?(?P<name>.*?)(?(quote)(?P=quote)) \((?P<operator>[^()]*)\)(?:: (?P<remark>.*))?$"
)
"""See ``rewrites.base.label``; what a rewrite has to say of a layer follows after a colon."""

_WITH_NORMS = ("Conv", "ConvTranspose")
"""Layers into which a rewrite takes the norm behind them; what they give then bears the norm's name."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the user's network.

    Attributes:
        name: ONNX's name of the node, or of its first output.
        operator: its type.
        module: the path of the torch module that it is of; empty where that is not known.
    """

    name: str
    operator: str
    module: str = ""

    @property
    def shown(self) -> str:
        """What it is called for people: by its module, where it has one."""
        return self.module or self.name


class Layers:
    """The layers of a network, and whose the layers of a rewritten graph are.

    Rewrites keep names where they can: of a layer that stays, of what a replaced one puts out; and what they add begins
    with the name of what it is added for. What bears no such name is of the layer that reads it.
    """

    def __init__(self, model: onnx.ModelProto, modules: Mapping[str, str] | None = None) -> None:
        """Take the network as the user has it.

        Args:
            model: its graph.
            modules: the path of a layer's torch module by its first output, as far as it is known.
        """
        nodes = [node for node in model.graph.node if node.op_type != "Constant"]
        self._nodes, self._modules = nodes, dict(modules or {})
        self.layers: tuple[Layer, ...] = tuple(
            Layer(name_of(node), node.op_type, self._modules.get(node.output[0], "")) for node in nodes
        )
        counted = Counter(node.name for node in nodes)
        self._by_name = {node.name: place for place, node in enumerate(nodes) if node.name and counted[node.name] == 1}
        self._by_output = {name: place for place, node in enumerate(nodes) for name in node.output if name}
        self._operators = [node.op_type for node in nodes]
        self._before = [self._by_output.get(node.input[0]) if node.input else None for node in nodes]

    def with_added(self, nodes: Sequence[onnx.NodeProto], module: str) -> Layers:
        """The same with layers behind them that the user's network does not have.

        Args:
            nodes: in the order of execution.
            module: what they are of; each is called by it and by what it gives.
        """
        both = onnx.ModelProto()
        both.graph.node.extend([*self._nodes, *nodes])
        return Layers(both, {**self._modules, **{node.output[0]: f"{module}.{first_output(node)}" for node in nodes}})

    def named(self, name: str) -> int | None:
        """The place of the layer that a name is of: its own, that of an output, or one that begins with either."""
        for known in (self._by_name, self._by_output):
            if name in known:
                return known[name]
        return self._by_beginning(name)

    def _by_beginning(self, name: str) -> int | None:
        for end in (found.start() for found in reversed(list(re.finditer("_", name)))):
            for known in (self._by_output, self._by_name):
                if name[:end] in known:
                    return known[name[:end]]
        return None

    def labelled(self, label: str) -> int | None:
        """The place of the layer that a label in a journal of rewrites is of; None for what is no layer."""
        found = _LABEL.match(label)
        return None if found is None else self._before_norm(self.named(found["name"]), found["operator"])

    @staticmethod
    def remark_in(label: str) -> str:
        """What a label in a journal of rewrites says of its layer; empty where that is nothing."""
        found = _LABEL.match(label)
        return "" if found is None else found["remark"] or ""

    def owners(self, nodes: Sequence[onnx.NodeProto]) -> list[int | None]:
        """For each layer of a rewritten graph the place of the one in the user's network; None for what was added."""
        owners = [self._owner(node) for node in nodes]
        owner_of_reader: dict[str, int] = {}
        for place in reversed(range(len(nodes))):  # against the order of execution: readers come first
            if owners[place] is None:
                owners[place] = _first(owner_of_reader.get(name) for name in nodes[place].output)
            if (owner := owners[place]) is not None:
                owner_of_reader |= dict.fromkeys(names_read(nodes[place]), owner)
        return owners

    def _owner(self, node: onnx.NodeProto) -> int | None:
        place = self._by_name.get(node.name)
        if place is not None and self._operators[place] == node.op_type:
            return place
        made = self._before_norm(_first(self._by_output.get(name) for name in node.output), node.op_type)
        return made if made is not None else _first(self.named(name) for name in (*node.output, node.name) if name)

    def _before_norm(self, place: int | None, operator: str) -> int | None:
        """The convolution that a batch norm went into, where a layer of that operator bears the norm's name."""
        if place is None or self._operators[place] == operator or operator not in _WITH_NORMS:
            return place
        before = self._before[place]
        return before if before is not None and self._operators[before] == operator else place


def _first(places: Iterable[int | None]) -> int | None:
    return next((place for place in places if place is not None), None)
