"""What the Myriad X takes of a network: the rewrites' findings first, then trial compiles of what is left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import onnx
from onnx import TensorProto

from oakpoint.convert.device_graph import DeviceGraph, DeviceInput, device_graph, device_rewrites
from oakpoint.convert.graph_edit import attributes_of, names_read
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.convert.split.parts import Parts, shape_of
from oakpoint.errors import ConversionError, Finding, UnsupportedNetworkError, UsageError
from oakpoint.layers.check.observers import ObservedConstants, ObservedHeads
from oakpoint.layers.check.replacements import replacement_for
from oakpoint.layers.names import Layers
from oakpoint.layers.trying.search import Trial, refused_layers

_FORM_ALONE: Final = {
    "device-opset", "earlier-opset", "fixed-shapes", "float32", "folded-constants", "fp16", "initialisers",
    "inlined-functions", "later-forms", "named-outputs", "no-effect", "reduction-axes", "spare-inputs",
}  # fmt: skip
"""Rewrites that say the same in another form: a layer that only they touched is taken as it is."""

_MEANT_ANOTHER: Final = {"earlier-opset": ("Hardmax", "LogSoftmax", "Softmax")}
"""Of those, layers that had another meaning in the form before: up to opset 12 these were over all axes from one on."""

_CANNOT_BE_GIVEN = (
    "it hangs on a layer that is not taken, whose output cannot be given: of no known size, or no numbers"
)
_OTHER_OPERATORS = "write it with other operators"
_OTHER_HEADS = "take other heads, or leave out --heads: the host then does what they do"


class _HeadsError(Exception):
    """The network cannot have the heads that were asked for."""

    def __init__(self, why: ConversionError | UsageError) -> None:
        super().__init__(str(why))
        self.why = why


@dataclass(slots=True)
class Refused:
    """Why a layer is refused, and what is known to do about it; what to train with in its place stands apart."""

    problem: str
    remedy: str = ""
    replacement: str = ""


@dataclass(slots=True)
class DeviceVerdicts:
    """What came of a network, by the places of its layers.

    Attributes:
        refused: layers that are not taken.
        untried: layers that could not be tried, and why.
        rewrites: layers that are taken after rewrites, each with how exact it is.
        remarks: what rewrites have to say of layers: what they cost.
        joined: layers that are one on the device with the layer that reads them.
        graph: the device graph of what our own findings left; None where it cannot be made.
        whole: whether that is the whole network.
        constants: of that graph, before they were rounded to FP16; None without one.
    """

    refused: dict[int, Refused] = field(default_factory=dict)
    untried: dict[int, str] = field(default_factory=dict)
    rewrites: dict[int, list[str]] = field(default_factory=dict)
    remarks: dict[int, list[str]] = field(default_factory=dict)
    joined: dict[int, int] = field(default_factory=dict)
    graph: DeviceGraph | None = None
    whole: bool = True
    constants: ObservedConstants | None = None


class DeviceCheck:
    """Finds out what the device takes of a network.

    Attributes:
        parts: the network at fixed sizes.
        layers: of the user's network; once it is rewritten, those that the heads add stand behind them.
        heads_left_out: whether an output that the heads read was cut off, so that they were not looked at.
        verdicts: so far.
    """

    def __init__(
        self, model: onnx.ModelProto, layers: Layers, inputs: Sequence[DeviceInput], heads: Sequence[Rewrite] = ()
    ) -> None:
        """Take the network.

        Args:
            model: at fixed sizes, see ``fixed_graph``.
            layers: of the user's network.
            inputs: see ``device_graph``.
            heads: see ``device_graph``.
        """
        self.parts = Parts(model, TensorProto.FLOAT)
        self.verdicts = DeviceVerdicts()
        self.layers, self._inputs, self._heads = layers, {given.name: given for given in inputs}, heads
        self._of_user = len(layers.layers)
        self._owners = layers.owners(self.parts.nodes)
        self.heads_left_out = False

    def rewrite(self) -> None:
        """Make the device graph; layers about which there are findings are cut out until the rest has one.

        Raises:
            UsageError, ConversionError: the network cannot have the heads.
        """
        cut: set[int] = set()
        verdicts = self.verdicts
        with TemporaryDirectory(prefix="oakpoint-check-") as scratch:
            while kept := sorted(self.parts.can_be_had(cut) - cut):
                try:
                    verdicts.graph = self._device_graph(kept, Path(scratch) / "part.onnx")
                    break
                except _HeadsError as error:
                    raise error.why from error
                except UnsupportedNetworkError as error:
                    found = {place for finding in error.findings for place in self._refuse(finding)}
                    if found <= cut:
                        self._leave(kept, str(error))
                        break
                    cut |= found
                except ConversionError as error:
                    self._leave(kept, str(error))
                    break
        verdicts.whole = not cut and verdicts.graph is not None
        rest = set(range(len(self.parts.nodes))) - self.parts.can_be_had(cut) - cut
        self._leave(rest, _CANNOT_BE_GIVEN)
        if verdicts.graph is not None:
            self._note_rewrites(verdicts.graph)

    def _device_graph(self, kept: Sequence[int], path: Path) -> DeviceGraph:
        part = self.parts.part(kept)
        onnx.save(part, path)
        inputs = [
            self._inputs.get(value.name) or DeviceInput(name=value.name, shape=shape_of(value) or ())
            for value in part.graph.input
        ]
        heads = ObservedHeads(self._heads, [output.name for output in self.parts.model.graph.output])
        constants = ObservedConstants()
        graph = device_graph(path, inputs, (heads, constants))
        if heads.failure is not None:
            raise _HeadsError(heads.failure)
        self.layers, self.heads_left_out = self.layers.with_added(heads.added, "heads"), heads.left_out
        self.verdicts.constants = constants
        return graph

    def _refuse(self, finding: Finding) -> set[int]:
        """Note a finding; the places, in ``parts``, of the layers that it is about."""
        owner = self.layers.named(finding.layer)
        nodes = self.parts.nodes
        if finding.operator == "Input" or owner is None:  # what reads such an input is what cannot be had
            places = {place for place, node in enumerate(nodes) if finding.layer in names_read(node)}
        else:
            places = {place for place, other in enumerate(self._owners) if other == owner}
        for place in places:
            if (of := self._owners[place]) is not None:
                part = self._part_of(of, finding.operator)
                instead = self._replacement(of, nodes[place], self.parts)
                self.verdicts.refused.setdefault(of, Refused(part + finding.problem, finding.remedy, instead))
        return places

    def _part_of(self, owner: int, operator: str) -> str:
        """The beginning of what is said of a layer where it is about an operator that it was spelt out into."""
        if operator == "Input":
            return "of the input that it reads: "
        return f"its {operator}: " if self.layers.layers[owner].operator != operator else ""

    def _replacement(self, owner: int, node: onnx.NodeProto, parts: Parts) -> str:
        """What to train with in the place of one of the user's layers, of which a layer of ``parts`` is refused."""
        if owner >= self._of_user:
            return ""
        shape = shape_of(parts.values.get(_first_read(node)))
        known = partial(replacement_for, node, rank=None if shape is None else len(shape), constants=parts.constants)
        found = known(self.layers.layers[owner].operator) or known()
        return "" if found is None else str(found)

    def _leave(self, places: Iterable[int], why: str) -> None:
        for place in places:
            if (owner := self._owners[place]) is not None:
                self.verdicts.untried.setdefault(owner, why)

    def _note_rewrites(self, graph: DeviceGraph) -> None:
        exactness = {rewrite.name: rewrite.tolerance for rewrite in device_rewrites(tuple(self._inputs.values()), ())}
        restated: set[int | None] = set()
        for applied in graph.rewrites:
            tolerance = exactness.get(applied.rewrite, 0.0)
            told = f"{applied.rewrite} ({f'within {tolerance:g}' if tolerance else 'exact'})"
            for owner, remark in ((self.layers.labelled(said), self.layers.remark_in(said)) for said in applied.layers):
                if owner is not None and remark:
                    self.verdicts.remarks.setdefault(owner, []).append(remark)
                if applied.rewrite in _FORM_ALONE:
                    restated.add(owner)
                elif owner is not None and told not in self.verdicts.rewrites.setdefault(owner, []):
                    self.verdicts.rewrites[owner].append(told)
            for owner in self._meant_another(applied.rewrite):
                self.verdicts.rewrites.setdefault(owner, []).append(told)
        self._note_joined(graph, restated)

    def _meant_another(self, rewrite: str) -> list[int]:
        """Layers that a rewrite of form alone gave another meaning than their words have at the device's opset."""
        found = []
        for node, owner in zip(self.parts.nodes, self._owners, strict=True):
            shape = shape_of(self.parts.values.get(_first_read(node)))
            if owner is not None and shape and node.op_type in _MEANT_ANOTHER.get(rewrite, ()):
                axis = attributes_of(node).get("axis", 1)
                found += [owner] if axis % len(shape) != len(shape) - 1 else []
        return found

    def _note_joined(self, graph: DeviceGraph, restated: Collection[int | None]) -> None:
        """Note layers that a rewrite made one with the layer that reads them, as a product with the sum behind it."""
        there = set(self.layers.owners(graph.model.graph.node))
        for place in reversed(range(len(self.parts.nodes))):  # against the order of execution: readers come first
            owner = self._owners[place]
            if owner is None or any(owner in known for known in (there, restated, self.verdicts.rewrites)):
                continue
            if owner in self.verdicts.refused or owner in self.verdicts.untried:
                continue
            made = set(self.parts.nodes[place].output)
            readers = {
                self._owners[p] for p, node in enumerate(self.parts.nodes) if made.intersection(names_read(node))
            }
            if len(readers) == 1 and (reader := readers.pop()) in self.verdicts.rewrites and reader is not None:
                self.verdicts.joined[owner] = reader
                self.verdicts.rewrites[owner] = list(self.verdicts.rewrites[reader])

    def compile(self, trial: Trial) -> None:
        """Try what the findings left.

        Args:
            trial: compiles a part of the device graph.
        """
        graph = self.verdicts.graph
        if graph is None:
            return
        parts = Parts(graph.model, TensorProto.FLOAT16)
        owners = self.layers.owners(parts.nodes)
        found = refused_layers(parts, trial)
        for refusal in found.refusals:
            node, owner = parts.nodes[refusal.place], owners[refusal.place]
            if owner is None:
                continue
            behind = "" if refusal.alone else " (behind the layers before it; alone it is taken)"
            problem = f"{self._part_of(owner, node.op_type)}the compiler refuses it: {refusal.reason}{behind}"
            instead = self._replacement(owner, node, parts)
            remedy = _OTHER_HEADS if owner >= self._of_user else "" if instead else _OTHER_OPERATORS
            self.verdicts.refused.setdefault(owner, Refused(problem, remedy, instead))
        for owner, reader in self.verdicts.joined.items():
            if (refused := self.verdicts.refused.get(reader)) is not None:
                problem = f"one layer on the device with {self.layers.layers[reader].shown}: {refused.problem}"
                self.verdicts.refused.setdefault(owner, Refused(problem, refused.remedy, refused.replacement))
        for place in found.untried:
            if (owner := owners[place]) is not None:
                self.verdicts.untried.setdefault(owner, "it hangs on a layer that is not taken")

    def cut_bytes(self, refused: Collection[int]) -> int | None:
        """Bytes over USB for each frame where the network is cut before layers; None where it cannot be."""
        places = [place for place, owner in enumerate(self._owners) if owner in refused]
        behind = set().union(*(self.parts.behind(place) for place in places))
        shapes = {name: shape_of(self.parts.values.get(name)) for name in self._frontier(behind)}
        if not shapes or any(shape is None for shape in shapes.values()):
            return None
        return sum(self._bytes(name, shape or ()) for name, shape in shapes.items())

    def tail(self, refused: Collection[int]) -> onnx.ModelProto:
        """What is left to the host where the network is cut before layers."""
        places = [place for place, owner in enumerate(self._owners) if owner in refused]
        return self.parts.part(set().union(*(self.parts.behind(place) for place in places)))

    def _frontier(self, behind: set[int]) -> list[str]:
        return self.parts.frontier(set(range(len(self.parts.nodes))) - behind)

    def _bytes(self, name: str, shape: Sequence[int]) -> int:
        kind = self.parts.values[name].type.tensor_type.elem_type
        count = 1
        for side in shape:
            count *= side
        return count * (2 if kind in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE) else 4)


def _first_read(node: onnx.NodeProto) -> str:
    return str(next((name for name in node.input if name), ""))
