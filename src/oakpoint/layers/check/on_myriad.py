"""A network checked for the Myriad X."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.bundle.interface import Interface
from oakpoint.convert.device_graph import device_inputs, in_float32
from oakpoint.convert.graph_edit import inferred_values
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.convert.split.halves import fixed_graph
from oakpoint.errors import BackendError, CompilerUnavailableError
from oakpoint.layers.check import caveats
from oakpoint.layers.check.assemble import layer_verdicts
from oakpoint.layers.check.cut_prices import Prices
from oakpoint.layers.check.device import DeviceCheck
from oakpoint.layers.check.on_host import Images
from oakpoint.layers.check.ranges import Range, Ranges, measured_ranges
from oakpoint.layers.check.verdicts import CheckReport, FirstInfinity
from oakpoint.layers.names import Layers
from oakpoint.layers.trying.search import Trial
from oakpoint.layers.trying.trials import Progress
from oakpoint.tasks.base import Vectors


@dataclass(frozen=True, slots=True)
class Heads:
    """What the device puts out.

    Attributes:
        rewrites: see ``device_graph``.
        vectors: outputs of the network whose norms matter.
        name: of the heads.
    """

    rewrites: Sequence[Rewrite]
    vectors: Sequence[Vectors]
    name: str


@dataclass(slots=True)
class _Numbers:
    """Ranges by the places of layers, those whose largest number they made themselves, and the first overflow."""

    of: dict[int, Range] = field(default_factory=dict)
    arising: set[int] = field(default_factory=set)
    first: FirstInfinity | None = None


class MyriadCheck:
    """A check for the device under way."""

    def __init__(
        self,
        model: onnx.ModelProto,
        layers: Layers,
        interface: Interface,
        heads: Heads,
        images: Images,
        progress: Progress,
        notes: list[str],
    ) -> None:
        """Take the network.

        Args:
            model: the host's ONNX.
            layers: its layers.
            interface: what it takes.
            heads: what the device is to put out.
            images: to measure numbers on; none measures none.
            progress: told what is being done.
            notes: what is to be said already.

        Raises:
            ConversionError: it cannot be brought to its size.
        """
        self._interface, self._heads, self._images = interface, heads, images
        self._progress, self._notes = progress, notes
        inputs = device_inputs(interface)
        self._check = DeviceCheck(fixed_graph(model, inputs), layers, inputs, heads.rewrites)
        self._image_names = [given.name for given in inputs if given.scale is not None]

    @property
    def _layers(self) -> Layers:
        return self._check.layers

    def report(self, name: str, compiler: Callable[[list[str]], Trial]) -> CheckReport:
        """Do all of it.

        Args:
            name: of the network.
            compiler: makes the trial, given the names of inputs that take images.

        Raises:
            UsageError, ConversionError: the network cannot have the heads.
        """
        self._progress("rewriting for the device")
        self._check.rewrite()
        if self._check.heads_left_out:
            self._notes.append(
                f"heads {self._heads.name} were not looked at: what they read hangs on a layer that is not taken"
            )
        untried = ""
        trial: Trial | None = None
        try:
            trial = compiler(self._image_names)
            self._check.compile(trial)
        except CompilerUnavailableError as error:
            untried = str(error)
            found = self._check.verdicts
            found.untried |= dict.fromkeys(range(len(self._layers.layers)), "there is no compiler")
        ranges, graph = self._ranges()
        numbers = self._by_layer(ranges, graph)
        said = self._caveats(numbers, ranges, graph)
        verdicts = layer_verdicts(self._layers, self._check.verdicts, said, numbers.of)
        self._progress("measuring what is left to the host")
        prices = Prices(self._check)
        whole = prices.of(list(self._check.verdicts.refused))
        priced = tuple(prices.said_of(verdict, place) for place, verdict in enumerate(verdicts))
        self._notes += prices.notes()
        return CheckReport(
            model=name,
            target="myriad",
            heads=self._heads.name,
            layers=priced,
            first_infinity=numbers.first,
            squared_norms={} if ranges is None else ranges.squared_norms,
            cut_bytes=whole.cut_bytes,
            host_ms=whole.host_ms,
            images=0 if ranges is None else ranges.images,
            trials=getattr(trial, "compiled", 0),
            untried=untried,
            notes=tuple(self._notes),
        )

    def _ranges(self) -> tuple[Ranges | None, onnx.ModelProto]:
        """What was measured, and the graph it was measured on: the device's at float32, or the network's own."""
        found = self._check.verdicts
        whole = found.graph if found.whole else None
        if whole is None:
            graph, fed = self._check.parts.model, self._interface.at(self._interface.size)
        else:
            graph, fed = in_float32(whole), self._interface.on_device()
        if not self._images:
            return None, graph

        def feed(image: NDArray[np.uint8]) -> Mapping[str, NDArray[Any]]:
            tensors = fed.feed_apart(image)
            return tensors if whole is None else {name: array.astype(np.float32) for name, array in tensors.items()}

        try:
            feeds = [partial(feed, image) for image in self._images.values()]
            axes = {vectors.output: vectors.axis for vectors in self._heads.vectors}
            return measured_ranges(graph, feeds, norms_of=axes, progress=self._progress), graph
        except BackendError as error:
            self._notes.append(f"numbers were not measured: {error}")
            return None, graph

    def _owned(self, nodes: Sequence[onnx.NodeProto]) -> Iterator[tuple[onnx.NodeProto, int]]:
        """Layers of a rewritten graph with the places of those that they are of."""
        for node, owner in zip(nodes, self._layers.owners(nodes), strict=True):
            if owner is not None:
                yield node, owner

    def _by_layer(self, ranges: Ranges | None, graph: onnx.ModelProto) -> _Numbers:
        """The numbers of each layer, and where the first infinity would arise."""
        found = _Numbers()
        if ranges is None:
            return found
        for node, owner in self._owned(graph.graph.node):
            given = max((ranges.tensors[name].largest for name in node.input if name in ranges.tensors), default=0.0)
            for name in node.output:
                measured = ranges.tensors.get(name)
                if measured is None:
                    continue
                found.of[owner] = found.of.get(owner, Range()).with_other(measured)
                if measured.largest != given:
                    found.arising.add(owner)
                if measured.overflows and found.first is None:
                    layer = self._layers.layers[owner]
                    found.first = FirstInfinity(layer=layer, tensor=name, largest=measured.largest)
        return found

    def _caveats(self, numbers: _Numbers, ranges: Ranges | None, graph: onnx.ModelProto) -> dict[int, list[str]]:
        """Caveats by the places of layers."""
        said: dict[int, list[str]] = {place: [] for place in range(len(self._layers.layers))}
        for place, measured in numbers.of.items():
            is_first = numbers.first is not None and numbers.first.layer is self._layers.layers[place]
            carried = place not in numbers.arising
            moves = self._layers.layers[place].operator in caveats.MOVING
            said[place] += caveats.of_numbers(measured, infinite_first=is_first, carried=carried, moves=moves)
        for place, remarks in self._check.verdicts.remarks.items():
            said[place] += remarks
        constants = self._check.verdicts.constants
        if constants is not None:
            for node, owner in self._owned(constants.nodes):
                said[owner] += caveats.of_constants(node, constants.ranges, constants.sizes)
        tensors = {} if ranges is None else ranges.tensors
        safe_heads = {vectors.output: vectors.safe_heads for vectors in self._heads.vectors}
        values = inferred_values(graph)
        for node, owner in self._owned(graph.graph.node):
            said[owner] += caveats.of_form(node, values)
            largest = max((tensors[name].largest for name in node.input if name in tensors), default=0.0)
            said[owner] += caveats.of_squares_within(node, largest)
            for name, squared in ({} if ranges is None else ranges.squared_norms).items():
                said[owner] += caveats.of_squared_norm(name, squared, safe_heads[name]) if name in node.output else []
        return said
