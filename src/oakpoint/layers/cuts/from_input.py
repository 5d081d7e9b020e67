"""How much of a network the device takes from its input on, and where to cut it from the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import TensorProto

from oakpoint.convert.device_graph import DeviceGraph, DeviceInput, device_graph
from oakpoint.convert.graph_edit import names_read
from oakpoint.convert.rewrites.base import Rewrite, name_of
from oakpoint.convert.split.cut import Cut, cheapest_cut, cut_at, from_input
from oakpoint.convert.split.halves import halves
from oakpoint.convert.split.parts import Parts
from oakpoint.errors import CompilerError, ConversionError, Finding, UnsupportedNetworkError
from oakpoint.layers.names import Layers
from oakpoint.layers.trying.search import Trial, refused_layers
from oakpoint.myriad.compiler import COMPILER


@dataclass(frozen=True, slots=True)
class TakenFromInput:
    """What came of the search.

    Attributes:
        cut: None where the whole network is taken.
        refused: why layers are not taken, by their names; those that were met.
    """

    cut: Cut | None
    refused: Mapping[str, str]


def whole_is_taken(source: Path, inputs: Sequence[DeviceInput], heads: Sequence[Rewrite], trial: Trial) -> bool:
    """Whether the device takes a network as it is, with heads."""
    try:
        graph = device_graph(source, inputs, heads)
    except ConversionError:
        return False
    return trial(graph.model) is None


def something_is_left(parts: Parts, findings: Sequence[Finding]) -> bool:
    """Whether the device could take a part from the input on, for all that findings say: nothing is tried."""
    layers = Layers(parts.model)
    places = _places(parts)
    refused = {place for finding in findings for place, _ in _named(finding, parts, layers, places)}
    return bool(from_input(parts, refused)) and bool(refused)


def best_cut(
    parts: Parts, inputs: Sequence[DeviceInput], trial: Trial, modules: Mapping[str, str] | None = None
) -> TakenFromInput:
    """Find where to cut a network so that the device takes the first part.

    What our own findings say is settled first; what is left is cut where few bytes cross (``cheapest_cut``) and tried;
    while the compiler refuses it, the layers that are at fault are looked for and the cut is made before them.

    Args:
        parts: the network at fixed sizes (``parts_at_size``).
        inputs: see ``device_graph``.
        trial: compiles a device graph.
        modules: the path of a layer's torch module by its first output, as far as it is known.

    Raises:
        ConversionError: the device takes nothing from the input on, or the network has no valid form for it.
    """
    with TemporaryDirectory(prefix="oakpoint-split-") as scratch:
        return _Search(parts, inputs, trial, modules, Path(scratch) / "part.onnx").run()


class _Search:
    def __init__(
        self,
        parts: Parts,
        inputs: Sequence[DeviceInput],
        trial: Trial,
        modules: Mapping[str, str] | None,
        path: Path,
    ) -> None:
        self._parts, self._inputs, self._trial, self._path = parts, inputs, trial, path
        self._layers = Layers(parts.model, modules)
        self._places = _places(parts)
        self._refused: dict[int, str] = {}

    def run(self) -> TakenFromInput:
        while True:
            found: dict[int, str] = {}
            for cut in self._candidates():
                found = self._tried(cut)
                if not found:
                    return TakenFromInput(cut, self._told())
            self._refused |= found

    def _told(self) -> dict[str, str]:
        """Why layers are not taken, by what the user calls them; by ONNX's names where several are called alike."""
        told: dict[str, str] = {}
        for place, why in sorted(self._refused.items()):
            shown = self._shown(place)
            told[name_of(self._parts.nodes[place]) if shown in told else shown] = why
        return told

    def _candidates(self) -> Iterator[Cut | None]:
        """The cuts to try: the cheapest one, and the one behind all that is taken, which the compiler may prefer."""
        taken = from_input(self._parts, self._refused)
        if not taken:
            raise ConversionError(self._nothing_taken())
        if len(taken) == len(self._parts.nodes):
            yield None
            return
        cheapest = cheapest_cut(self._parts, taken)
        yield cheapest
        if cheapest.on_device != taken:
            try:
                yield cut_at(self._parts, taken)
            except ConversionError:
                return

    def _nothing_taken(self) -> str:
        place = min(self._refused)
        return (
            f"split: nothing of the network is left for the device: its first layer is not taken: {self._shown(place)} "
            f"({self._parts.nodes[place].op_type}): {self._refused[place]}; do what it does outside of the network, or "
            "stay on the host (--to ir)"
        )

    def _tried(self, cut: Cut | None) -> dict[int, str]:
        """The layers of this part that are not taken, and why; empty where all are."""
        try:
            graph = self._device_graph(self._parts.model if cut is None else halves(self._parts, cut).device)
        except UnsupportedNetworkError as error:
            named = (_named(finding, self._parts, self._layers, self._places) for finding in error.findings)
            return self._new({place: why for found in named for place, why in found}, error)
        reason = self._trial(graph.model)
        if reason is None:
            return {}
        return self._new(self._at_fault(graph), CompilerError(f"{COMPILER} refused the network: {reason}"))

    def _device_graph(self, model: onnx.ModelProto) -> DeviceGraph:
        onnx.save(model, self._path)
        there = {value.name for value in model.graph.input}
        return device_graph(self._path, [given for given in self._inputs if given.name in there])

    def _new(self, found: Mapping[int, str], error: ConversionError) -> dict[int, str]:
        new = {place: why for place, why in found.items() if place not in self._refused}
        if not new:
            raise error
        return new

    def _at_fault(self, graph: DeviceGraph) -> dict[int, str]:
        parts = Parts(graph.model, TensorProto.FLOAT16)
        owners = self._layers.owners(parts.nodes)
        found = refused_layers(parts, self._trial).refusals
        return {
            self._places[owner]: f"the compiler refuses it: {refusal.reason}"
            for refusal in found
            if (owner := owners[refusal.place]) is not None
        }

    def _shown(self, place: int) -> str:
        if place not in self._places:
            return name_of(self._parts.nodes[place])
        return self._layers.layers[self._places.index(place)].shown


def _places(parts: Parts) -> list[int]:
    """The places of a graph's layers, which constants are not."""
    return [place for place, node in enumerate(parts.nodes) if node.op_type != "Constant"]


def _named(finding: Finding, parts: Parts, layers: Layers, places: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The places of the layers that a finding is about, and what it says."""
    why = f"{finding.problem}; {finding.remedy}" if finding.remedy else finding.problem
    owner = layers.named(finding.layer)
    if owner is not None and finding.operator != "Input":
        yield places[owner], why
        return
    for place, node in enumerate(parts.nodes):  # what reads such an input is what cannot be had
        if finding.layer in names_read(node):
            yield place, why
