"""What the Myriad X takes of a network: the rewrites' findings first, then trial compiles of what is left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import onnx
from onnx import TensorProto

from oakpoint.convert.device_graph import DeviceGraph, DeviceInput, device_graph, device_rewrites
from oakpoint.convert.graph_edit import inferred_values, names_read
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.convert.rewrites.intake.sizes import FixedShapes
from oakpoint.errors import ConversionError, Finding, UnsupportedNetworkError
from oakpoint.layers.names import Layers
from oakpoint.layers.parts import Parts, shape_of
from oakpoint.layers.search import Trial, refused_layers

_FORM_ALONE: Final = {
    "device-opset", "earlier-opset", "fixed-shapes", "float32", "folded-constants", "fp16", "initialisers",
    "inlined-functions", "later-forms", "named-outputs", "no-effect", "reduction-axes", "spare-inputs",
}  # fmt: skip
"""Rewrites that say the same in another form: a layer that only they touched is taken as it is."""


@dataclass(slots=True)
class Refused:
    """Why a layer is refused, and what is known to do about it."""

    problem: str
    remedy: str = ""


@dataclass(slots=True)
class DeviceVerdicts:
    """What came of a network, by the places of its layers.

    Attributes:
        refused: layers that are not taken.
        untried: layers that could not be tried, and why.
        rewrites: layers that are taken after rewrites, each with how exact it is.
        joined: layers that are one on the device with the layer that reads them.
        graph: the device graph of what our own findings left; None where it cannot be made.
        whole: whether that is the whole network.
    """

    refused: dict[int, Refused] = field(default_factory=dict)
    untried: dict[int, str] = field(default_factory=dict)
    rewrites: dict[int, list[str]] = field(default_factory=dict)
    joined: dict[int, int] = field(default_factory=dict)
    graph: DeviceGraph | None = None
    whole: bool = True


def fixed_graph(model: onnx.ModelProto, inputs: Sequence[DeviceInput]) -> onnx.ModelProto:
    """A network at fixed sizes, with what follows from them folded, so that the size of every tensor is known.

    Raises:
        ConversionError: it cannot be brought to these sizes.
    """
    fixed = onnx.ModelProto.FromString(model.SerializeToString())
    shapes = {given.name: given.shape for given in inputs}
    apply_all(fixed, (InlinedFunctions(), Initialisers(), FixedShapes(shapes), FoldedConstants()))
    return fixed


class DeviceCheck:
    """Finds out what the device takes of a network.

    Attributes:
        parts: the network at fixed sizes.
        verdicts: so far.
    """

    def __init__(self, model: onnx.ModelProto, layers: Layers, inputs: Sequence[DeviceInput]) -> None:
        """Take the network.

        Args:
            model: at fixed sizes, see ``fixed_graph``.
            layers: of the user's network.
            inputs: see ``device_graph``.
        """
        self.parts = Parts(model, inferred_values(model), TensorProto.FLOAT)
        self.verdicts = DeviceVerdicts()
        self._layers, self._inputs = layers, {given.name: given for given in inputs}
        self._owners = layers.owners(self.parts.nodes)

    def rewrite(self) -> None:
        """Make the device graph; layers about which there are findings are cut out until the rest has one."""
        cut: set[int] = set()
        verdicts = self.verdicts
        with TemporaryDirectory(prefix="oakpoint-check-") as scratch:
            while kept := sorted(self.parts.can_be_had(cut) - cut):
                try:
                    verdicts.graph = self._device_graph(kept, Path(scratch) / "part.onnx")
                    break
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
        self._leave(rest, "it hangs on a layer that is not taken and whose output has no size that is known")
        if verdicts.graph is not None:
            self._note_rewrites(verdicts.graph)

    def _device_graph(self, kept: Sequence[int], path: Path) -> DeviceGraph:
        part = self.parts.part(kept)
        onnx.save(part, path)
        inputs = [
            self._inputs.get(value.name) or DeviceInput(name=value.name, shape=shape_of(value) or ())
            for value in part.graph.input
        ]
        return device_graph(path, inputs)

    def _refuse(self, finding: Finding) -> set[int]:
        """Note a finding; the places, in ``parts``, of the layers that it is about."""
        owner = self._layers.named(finding.layer)
        nodes = self.parts.nodes
        if finding.operator == "Input" or owner is None:  # what reads such an input is what cannot be had
            places = {place for place, node in enumerate(nodes) if finding.layer in names_read(node)}
        else:
            places = {place for place, other in enumerate(self._owners) if other == owner}
        for place in places:
            if (of := self._owners[place]) is not None:
                part = f"its {finding.operator}: " if self._layers.layers[of].operator != finding.operator else ""
                self.verdicts.refused.setdefault(of, Refused(part + finding.problem, finding.remedy))
        return places

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
            for owner in dict.fromkeys(map(self._layers.labelled, applied.layers)):
                if applied.rewrite in _FORM_ALONE:
                    restated.add(owner)
                elif owner is not None and told not in self.verdicts.rewrites.setdefault(owner, []):
                    self.verdicts.rewrites[owner].append(told)
        self._note_joined(graph, restated)

    def _note_joined(self, graph: DeviceGraph, restated: Collection[int | None]) -> None:
        """Note layers that a rewrite made one with the layer that reads them, as a product with the sum behind it."""
        there = set(self._layers.owners(graph.model.graph.node))
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
        parts = Parts(graph.model, inferred_values(graph.model), TensorProto.FLOAT16)
        owners = self._layers.owners(parts.nodes)
        found = refused_layers(parts, trial)
        for refusal in found.refusals:
            node, owner = parts.nodes[refusal.place], owners[refusal.place]
            if owner is None:
                continue
            part = f"its {node.op_type}: " if node.op_type != self._layers.layers[owner].operator else ""
            behind = "" if refusal.alone else " (behind the layers before it; alone it is taken)"
            problem = f"{part}the compiler refuses it: {refusal.reason}{behind}"
            self.verdicts.refused.setdefault(owner, Refused(problem, "write it with other operators"))
        for owner, reader in self.verdicts.joined.items():
            if (refused := self.verdicts.refused.get(reader)) is not None:
                problem = f"one layer on the device with {self._layers.layers[reader].shown}: {refused.problem}"
                self.verdicts.refused.setdefault(owner, Refused(problem, refused.remedy))
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

    def _frontier(self, behind: set[int]) -> list[str]:
        return self.parts.frontier(set(range(len(self.parts.nodes))) - behind)

    def _bytes(self, name: str, shape: Sequence[int]) -> int:
        kind = self.parts.values[name].type.tensor_type.elem_type
        count = 1
        for side in shape:
            count *= side
        return count * (2 if kind in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE) else 4)
