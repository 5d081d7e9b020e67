"""A network on a runtime of this machine: measured."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.activations import memory_bytes
from oakpoint.backends.registry import RuntimeOptions
from oakpoint.bundle.folder import is_bundle, open_bundle
from oakpoint.images.sizes import size_from
from oakpoint.loading import load
from oakpoint.models.naming import model_of
from oakpoint.predictor import Predictor
from oakpoint.runtimes import import_openvino
from oakpoint.tune.accuracy import Judge
from oakpoint.tune.space import Space, decoding_of
from oakpoint.tune.speed import measured_against
from oakpoint.tune.subject import Subject, Tuned
from oakpoint.tune.trial import Configuration, Measured, Value

KEPT: Final = 4
"""Models that are kept open, the one unused longest going first."""

CAPABILITIES: Final = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
"""Arithmetic of OpenVINO, and what a device that offers it says of itself."""

INT8_ARTIFACT: Final = "ir_int8"


def offered_precisions(model: str) -> tuple[str, ...]:
    """Precisions at which OpenVINO's CPU of this machine can run a model.

    This is the one place that knows when INT8 is possible: of a bundle that holds the network quantised.
    """
    offered = set(import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    found = [precision for precision, capability in CAPABILITIES.items() if capability in offered]
    if is_bundle(Path(model)):
        kinds: list[str] = [artifact.kind for artifact in open_bundle(Path(model)).manifest.artifacts]
        found += ["int8"] if INT8_ARTIFACT in kinds else []
    return tuple(found)


@final
class HostSubject(Subject):
    """A network in OpenVINO on the CPU."""

    not_of_accuracy = frozenset({"threads"})

    def __init__(self, tuned: Tuned, space: Space, judge: Judge, images: Sequence[NDArray[np.uint8]]) -> None:
        """Take what is tuned.

        Args:
            tuned: the network.
            space: what is searched; its first configuration, the smallest, is the reference of all times.
            judge: of the accuracy.
            images: to be timed on.
        """
        super().__init__(judge)
        self._tuned, self._images = tuned, images
        self._reference = space.at(0)
        self._open: OrderedDict[tuple[Any, ...], Predictor[Any]] = OrderedDict()
        self._memory: dict[Value, float | None] = {}

    def _measured(self, configuration: Configuration) -> Measured:
        candidate = self._run(configuration)
        accuracy = self._accuracy(configuration)
        speed = measured_against(self._run(self._reference), candidate, self._images)
        return Measured(
            accuracy=accuracy,
            time=speed.relative,
            reference_ms=speed.reference_ms,
            memory_mb=self._memory_mb(configuration),
        )

    def _run(self, configuration: Configuration) -> Callable[[NDArray[np.uint8]], Any]:
        """What runs a configuration; another one of the same model may have run meanwhile, decoded otherwise."""
        predictor = self._predictor(configuration)
        task = predictor.task
        return lambda image: predictor.reading(image).result(task)

    def _predictor(self, configuration: Configuration) -> Predictor[Any]:
        """The model of a configuration, reading its outputs as that says."""
        key = tuple(configuration[name] for name in ("size", "precision", "threads"))
        if key not in self._open:
            self._open[key] = opened(self._tuned, configuration)
        self._open.move_to_end(key)
        if len(self._open) > KEPT:
            reference = tuple(self._reference[name] for name in ("size", "precision", "threads"))
            oldest = next(other for other in self._open if other not in (key, reference))
            self._open.pop(oldest).close()
        predictor = self._open[key]
        predictor.task = predictor.task.with_changes(**decoding_of(configuration))
        return predictor

    def _memory_mb(self, configuration: Configuration) -> float | None:
        """As estimated from the graph; of a network by name there is no file to estimate it from."""
        size = configuration["size"]
        if size not in self._memory and Path(self._tuned.model).exists():
            runtime = RuntimeOptions()
            found = model_of(self._tuned.model, self._tuned.said).runnable(runtime)
            needed = memory_bytes(found.source(), runtime, found.interface, size_from(size))
            self._memory[size] = None if needed is None else needed / 1e6
        return self._memory.get(size)

    def close(self) -> None:
        """See ``Subject.close``."""
        while self._open:
            self._open.popitem()[1].close()


def opened(tuned: Tuned, configuration: Configuration) -> Predictor[Any]:
    """The network at a configuration's size, precision and threads, and with its way of reading outputs.

    Raises:
        OakpointError: from loading it.
    """
    threads = configuration.get("threads")
    decoding: dict[str, Any] = decoding_of(configuration)
    return load(
        tuned.model,
        weights=tuned.weights,
        said=tuned.said,
        size=size_from(configuration["size"]),
        precision=str(configuration.get("precision", "f32")),
        threads=None if threads is None else int(threads),
        **decoding,
    )
