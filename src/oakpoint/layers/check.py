"""A network checked layer by layer for a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.onnxruntime import OnnxRuntimeBackend
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.bundle.interface import OPEN_BATCH, Interface
from oakpoint.convert.device_graph import device_inputs, in_float32
from oakpoint.convert.graph_edit import inferred_values
from oakpoint.convert.interface import fixed
from oakpoint.errors import BackendError, CompilerUnavailableError, MissingExtraError, UsageError
from oakpoint.layers import caveats
from oakpoint.layers.device import DeviceCheck, DeviceVerdicts, Refused, fixed_graph
from oakpoint.layers.names import Layers
from oakpoint.layers.parts import Parts
from oakpoint.layers.ranges import Range, Ranges, measured_ranges
from oakpoint.layers.search import Trial, refused_layers
from oakpoint.layers.trials import CompilerTrial, Progress, RuntimeTrial
from oakpoint.layers.verdicts import CheckReport, FirstInfinity, Kind, LayerVerdict
from oakpoint.models.base import ModelOptions
from oakpoint.models.host_onnx import HostOnnx, write_host_onnx
from oakpoint.models.naming import model_of
from oakpoint.tasks.keypoints.heads.base import DESC
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.verify.photographs import load_photographs

CheckTarget = Literal["onnx", "openvino", "myriad"]
TARGETS: Final[tuple[str, ...]] = get_args(CheckTarget)

_RUNTIMES: Final[dict[str, Callable[[Path], Backend]]] = {"onnx": OnnxRuntimeBackend, "openvino": OpenVinoBackend}

Images = Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What to check.

    Attributes:
        model: see ``models.naming.model_of``.
        target: one of ``TARGETS``.
        size: (W, H) of the images in pixels; None for the model's own.
        said: what else was said of the model, its weights among it.
        images: folder of images to measure numbers on; None for photographs.
    """

    model: str
    target: str = "myriad"
    size: tuple[int, int] | None = None
    said: ModelOptions = field(default_factory=ModelOptions)
    images: Path | None = None


def check_layers(
    options: CheckOptions, progress: Progress, *, compiler: Callable[[list[str]], Trial] | None = None
) -> CheckReport:
    """Find out of every layer of a network whether a target takes it.

    Args:
        options: what to check.
        progress: told what is being done, in a few words.
        compiler: makes the trial that stands for the device's compiler, given the names of inputs that take images;
            None for the compiler itself.

    Raises:
        UsageError: an unknown target, or a network with a fixed batch that the device does not have.
        OakpointError: the model cannot be read or exported.
    """
    if options.target not in TARGETS:
        raise UsageError(f"target: expected one of {', '.join(TARGETS)}, got {options.target!r}")
    origin = model_of(options.model, options.said).origin(options.size)
    with TemporaryDirectory(prefix="oakpoint-check-") as scratch:
        path = Path(scratch) / "model.onnx"
        progress("making the ONNX")
        written = write_host_onnx(origin, path, title=origin.name)
        model = onnx.load(path)
    layers = Layers(model, written.modules)
    if options.target != "myriad":
        return _on_host(options, model, layers, written.interface, progress)
    if written.interface.batch not in (OPEN_BATCH, 1):
        raise UsageError(
            f"{options.model}: its batch is fixed to {written.interface.batch}, and a Myriad X blob has batch 1; "
            "export it with batch 1 or an open batch"
        )
    images, notes = _photographs(options.images)
    if not origin.weights.trained:
        notes.append("the weights are random: the numbers, and where they overflow, are not those of a trained network")
    norms = (DESC,) if isinstance(origin.task, Keypoints) else ()
    myriad = _OnMyriad(model, layers, written, progress, images, norms, notes)
    return myriad.report(options, compiler or partial(CompilerTrial, progress=progress))


def _photographs(folder: Path | None) -> tuple[Images, list[str]]:
    try:
        return load_photographs(folder), []
    except MissingExtraError as error:
        return {}, [f"numbers were not measured: {error}"]


def _on_host(
    options: CheckOptions, model: onnx.ModelProto, layers: Layers, interface: Interface, progress: Progress
) -> CheckReport:
    """The verdicts of a runtime of the host."""
    sized = interface.at(interface.size)
    model = fixed(model, {spec.name: spec.shape for spec in sized.tensors})
    parts = Parts(model, inferred_values(model))
    asked: list[str] = []

    def heard(words: str) -> None:
        asked.append(words)
        progress(words)

    found = refused_layers(parts, RuntimeTrial(_RUNTIMES[options.target], heard))
    owners = layers.owners(parts.nodes)
    verdicts = DeviceVerdicts()
    for refusal in found.refusals:
        if (owner := owners[refusal.place]) is not None:
            verdicts.refused[owner] = Refused(refusal.reason, "write it with other operators, or cut it off")
    for place in found.untried:
        if (owner := owners[place]) is not None:
            verdicts.untried[owner] = "it hangs on a layer that is not taken"
    return CheckReport(
        model=options.model, target=options.target, layers=_verdicts(layers, verdicts, {}, {}), trials=len(asked)
    )


def _verdicts(
    layers: Layers, found: DeviceVerdicts, said: Mapping[int, list[str]], numbers: Mapping[int, Range]
) -> tuple[LayerVerdict, ...]:
    """The verdict on every layer, of what was found and of the caveats by place."""
    verdicts = []
    for place, layer in enumerate(layers.layers):
        refused, untried = found.refused.get(place), found.untried.get(place, "")
        rewrites, warned = tuple(found.rewrites.get(place, ())), tuple(said.get(place, ()))
        kind: Kind = "caveat" if warned else "rewritten" if rewrites else "taken"
        if refused is not None or untried:
            kind = "untried" if refused is None else "refused"
        verdicts.append(
            LayerVerdict(
                layer=layer,
                kind=kind,
                problem=untried if refused is None else refused.problem,
                remedies=(refused.remedy,) if refused is not None and refused.remedy else (),
                rewrites=rewrites,
                caveats=warned,
                numbers=numbers.get(place),
            )
        )
    return tuple(verdicts)


@dataclass(slots=True)
class _Numbers:
    """Ranges by the places of the user's layers, those in which an overflow arises, and the first of them."""

    of: dict[int, Range] = field(default_factory=dict)
    arising: set[int] = field(default_factory=set)
    first: FirstInfinity | None = None


class _OnMyriad:
    """A check for the device under way."""

    def __init__(
        self,
        model: onnx.ModelProto,
        layers: Layers,
        written: HostOnnx,
        progress: Progress,
        images: Images,
        norms: tuple[str, ...],
        notes: list[str],
    ) -> None:
        self._model, self._layers, self._progress = model, layers, progress
        self._interface, self._images, self._norms, self._notes = written.interface, images, norms, notes
        inputs = device_inputs(written.interface)
        self._check = DeviceCheck(fixed_graph(model, inputs), layers, inputs)
        self._image_names = [given.name for given in inputs if given.scale is not None]

    def report(self, options: CheckOptions, compiler: Callable[[list[str]], Trial]) -> CheckReport:
        """Do all of it."""
        self._progress("rewriting for the device")
        self._check.rewrite()
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
        verdicts = _verdicts(self._layers, self._check.verdicts, said, numbers.of)
        refused = list(self._check.verdicts.refused)
        return CheckReport(
            model=options.model,
            target=options.target,
            layers=tuple(self._with_price(place, verdict) for place, verdict in enumerate(verdicts)),
            first_infinity=numbers.first,
            squared_norms={} if ranges is None else ranges.squared_norms,
            cut_bytes=self._check.cut_bytes(refused) if refused else None,
            images=0 if ranges is None else ranges.images,
            trials=getattr(trial, "compiled", 0),
            untried=untried,
            notes=tuple(self._notes),
        )

    def _with_price(self, place: int, verdict: LayerVerdict) -> LayerVerdict:
        """A refused layer's verdict with what a cut before it costs."""
        if verdict.kind != "refused":
            return verdict
        count = self._check.cut_bytes([place])
        cut = f"cut the network before it: {count:,} bytes a frame over USB, and the rest on the host" if count else (
            "nothing of the network is left before it: do it on the host, or train without it"
        )  # fmt: skip
        return replace(verdict, remedies=(*verdict.remedies, cut), cut_bytes=count)

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
            return measured_ranges(graph, feeds, norms_of=self._norms, progress=self._progress), graph
        except BackendError as error:
            self._notes.append(f"numbers were not measured: {error}")
            return None, graph

    def _by_layer(self, ranges: Ranges | None, graph: onnx.ModelProto) -> _Numbers:
        """The numbers of each of the user's layers, and where the first infinity would arise."""
        found = _Numbers()
        if ranges is None:
            return found
        nodes = graph.graph.node
        for node, owner in zip(nodes, self._layers.owners(nodes), strict=True):
            given = max((ranges.tensors[name].largest for name in node.input if name in ranges.tensors), default=0.0)
            for name in node.output:
                measured = ranges.tensors.get(name)
                if measured is None or owner is None:
                    continue
                found.of[owner] = found.of.get(owner, Range()).with_other(measured)
                if measured.overflows and measured.largest != given:
                    found.arising.add(owner)
                if measured.overflows and found.first is None:
                    layer = self._layers.layers[owner]
                    found.first = FirstInfinity(layer=layer, tensor=name, largest=measured.largest)
        return found

    def _caveats(
        self,
        numbers: _Numbers,
        ranges: Ranges | None,
        graph: onnx.ModelProto,
    ) -> dict[int, list[str]]:
        """Caveats by the places of the user's layers."""
        said: dict[int, list[str]] = {place: [] for place in range(len(self._layers.layers))}
        for place, measured in numbers.of.items():
            is_first = numbers.first is not None and numbers.first.layer is self._layers.layers[place]
            carried = place not in numbers.arising
            said[place] += caveats.of_numbers(measured, infinite_first=is_first, carried=carried)
        constants = {tensor.name: tensor for tensor in self._model.graph.initializer}
        for node, owner in zip(self._model.graph.node, self._layers.owners(self._model.graph.node), strict=True):
            if owner is not None and node.op_type != "Constant":
                said[owner] += caveats.of_weights(node, constants)
        values = inferred_values(graph)
        for node, owner in zip(graph.graph.node, self._layers.owners(graph.graph.node), strict=True):
            if owner is not None:
                said[owner] += caveats.of_form(node, values)
                for name, squared in ({} if ranges is None else ranges.squared_norms).items():
                    said[owner] += caveats.of_squared_norm(name, squared) if name in node.output else []
        return said
