"""A network checked for a runtime of the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.onnxruntime import OnnxRuntimeBackend
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.bundle.interface import Interface
from oakpoint.convert.interface import fixed
from oakpoint.convert.split.parts import Parts
from oakpoint.errors import BackendError
from oakpoint.layers.check import caveats
from oakpoint.layers.check.assemble import layer_verdicts
from oakpoint.layers.check.device import DeviceVerdicts, Refused
from oakpoint.layers.check.ranges import Range, Ranges, constants_of, measured_ranges
from oakpoint.layers.check.verdicts import CheckReport
from oakpoint.layers.names import Layers
from oakpoint.layers.trying.search import refused_layers
from oakpoint.layers.trying.trials import Progress, RuntimeTrial

Images = Mapping[str, NDArray[np.uint8]]

RUNTIMES: Final[dict[str, Callable[[Path], Backend]]] = {"onnx": OnnxRuntimeBackend, "openvino": OpenVinoBackend}


def check_on_host(
    name: str,
    target: str,
    model: onnx.ModelProto,
    layers: Layers,
    interface: Interface,
    images: Images,
    progress: Progress,
    notes: Sequence[str] = (),
) -> CheckReport:
    """Find out of every layer of a network whether a runtime takes it, and which numbers are not finite.

    Args:
        name: of the network.
        target: one of ``RUNTIMES``.
        model: the network.
        layers: its layers.
        interface: what it takes.
        images: to measure numbers on; none measures none.
        progress: told what is being done.
        notes: what is to be said already.
    """
    sized = interface.at(interface.size)
    model = fixed(model, {spec.name: spec.shape for spec in sized.tensors})
    asked: list[str] = []

    def heard(words: str) -> None:
        asked.append(words)
        progress(words)

    parts = Parts(model)
    owners = layers.owners(parts.nodes)
    verdicts = _found(parts, owners, RuntimeTrial(RUNTIMES[target], heard))
    ranges, why_not = (None, "") if not images else _measured(model, sized, images, progress)
    numbers, said = _by_layer(ranges, parts, owners)
    if target == "openvino":
        for place, warned in _of_the_ir(parts, owners).items():
            said.setdefault(place, []).extend(warned)
    return CheckReport(
        model=name,
        target=target,
        layers=layer_verdicts(layers, verdicts, said, numbers),
        images=0 if ranges is None else ranges.images,
        trials=len(asked),
        notes=(*notes, *([f"numbers were not measured: {why_not}"] if why_not else [])),
    )


def _found(parts: Parts, owners: Sequence[int | None], trial: RuntimeTrial) -> DeviceVerdicts:
    """What the runtime refuses, by the places of the user's layers."""
    found = refused_layers(parts, trial)
    verdicts = DeviceVerdicts()
    for refusal in found.refusals:
        if (owner := owners[refusal.place]) is not None:
            verdicts.refused[owner] = Refused(refusal.reason, "write it with other operators, or cut it off")
    for place in found.untried:
        if (owner := owners[place]) is not None:
            verdicts.untried[owner] = "it hangs on a layer that is not taken"
    return verdicts


def _measured(
    model: onnx.ModelProto, interface: Interface, images: Images, progress: Progress
) -> tuple[Ranges | None, str]:
    """Numbers at float32 in ONNX Runtime, whichever the target, or why there are none."""

    def feed(image: NDArray[np.uint8]) -> Mapping[str, NDArray[Any]]:
        return interface.feed_apart(image)

    try:
        return measured_ranges(model, [partial(feed, image) for image in images.values()], progress=progress), ""
    except BackendError as error:
        return None, str(error)


def _by_layer(
    ranges: Ranges | None, parts: Parts, owners: Sequence[int | None]
) -> tuple[dict[int, Range], dict[int, list[str]]]:
    """What each of the user's layers gives, and caveats about it."""
    numbers: dict[int, Range] = {}
    if ranges is None:
        return {}, {}
    for node, owner in zip(parts.nodes, owners, strict=True):
        for name in node.output:
            if owner is not None and name in ranges.tensors:
                numbers[owner] = numbers.get(owner, Range()).with_other(ranges.tensors[name])
    return numbers, {place: caveats.of_not_finite(measured) for place, measured in numbers.items()}


def _of_the_ir(parts: Parts, owners: Sequence[int | None]) -> dict[int, list[str]]:
    """Caveats about weights that an IR stores in FP16."""
    found: dict[int, list[str]] = {}
    told = {name: caveats.of_stored_weights(name, values) for name, values in constants_of(parts.model)}
    for node, owner in zip(parts.nodes, owners, strict=True):
        if owner is not None:
            found.setdefault(owner, []).extend(text for name in node.input for text in told.get(name, ()))
    return found
