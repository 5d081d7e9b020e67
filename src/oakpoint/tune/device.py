"""A network on the Myriad X: what its device graph finds, and how long its blob is estimated to take."""

from __future__ import annotations

import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray
from onnx import save

from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import Input, Interface
from oakpoint.bundle.records import StageReport
from oakpoint.chain.make_blob import make_device_graph, measure_heads
from oakpoint.chain.make_onnx import make_onnx
from oakpoint.chain.making import Making
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import StageVerifier
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.convert.device_graph import DeviceGraph, in_float32
from oakpoint.extractor import predictor_for
from oakpoint.images.sizes import size_from
from oakpoint.models.naming import model_of
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.compiler import COMPILER
from oakpoint.myriad.cost import UNCERTAINTY, estimate
from oakpoint.predictor import Predictor
from oakpoint.tasks.base import Task
from oakpoint.tune.accuracy import Judge
from oakpoint.tune.space import decoding_of, inference_threads
from oakpoint.tune.study import BLOBS_FOLDER
from oakpoint.tune.subject import Subject, Tuned
from oakpoint.tune.trial import Configuration, Interval, Measured

KEPT: Final = 6
"""Device graphs that are kept open, the one unused longest going first."""


@dataclass(frozen=True, slots=True)
class Made:
    """A device graph, and the same running on this machine.

    Attributes:
        graph: what the compiler is given.
        predictor: runs it in ONNX Runtime at float32, with the constants that the device has and its heads.
    """

    graph: DeviceGraph
    predictor: Predictor[Any]


@final
class OakSubject(Subject):
    """A network as a conversion would compile it.

    The accuracy is that of the device graph, heads and FP16 constants included, calculated at float32: the rounding of
    intermediate results to FP16, which a conversion verifies on the blob itself, is not in it. The time is the estimate
    of the blob with its uncertainty; decoding on the host and the way over USB are not in it.
    """

    not_of_accuracy = frozenset({"shaves"})

    def __init__(self, tuned: Tuned, judge: Judge, images: Mapping[str, NDArray[np.uint8]], folder: Path) -> None:
        """Take what is tuned.

        Args:
            tuned: the network.
            judge: of the accuracy.
            images: on which heads are measured, those of ``oakpoint convert --images``.
            folder: the study's, where blobs are kept by the content that they were compiled of.
        """
        super().__init__(judge)
        self._tuned, self._photographs, self._folder = tuned, images, folder
        self._made: OrderedDict[tuple[Any, ...], Made] = OrderedDict()
        self._scratch = tempfile.TemporaryDirectory(prefix="oakpoint-tune-")

    def _measured(self, configuration: Configuration) -> Measured:
        shaves = int(configuration["shaves"])
        time, memory_mb = self._estimated(self._graph(configuration).graph, shaves)
        return Measured(
            accuracy=self._accuracy(configuration),
            time=time,
            frames_at_once=inference_threads(shaves),
            memory_mb=memory_mb,
        )

    def _predictor(self, configuration: Configuration) -> Predictor[Any]:
        predictor = self._graph(configuration).predictor
        predictor.task = predictor.task.with_changes(**decoding_of(configuration))
        return predictor

    def _graph(self, configuration: Configuration) -> Made:
        key = configuration["size"], configuration["heads"]
        if key not in self._made:
            self._made[key] = self._make(configuration)
        self._made.move_to_end(key)
        if len(self._made) > KEPT:
            self._made.popitem(last=False)[1].predictor.close()
        return self._made[key]

    def _make(self, configuration: Configuration) -> Made:
        """Go as far as the device graph, by the steps of a conversion."""
        options = ConversionOptions(
            model=self._tuned.model,
            weights=self._tuned.weights,
            said=self._tuned.said,
            size=size_from(configuration["size"]),
            heads=str(configuration["heads"]),
            images=self._tuned.images,
        )
        described = model_of(options.model, replace(options.said, weights=options.weights))
        making = Making(options, described.origin(options.size), _Unheard())
        making.folder = Path(tempfile.mkdtemp(dir=self._scratch.name))
        making.verifier = StageVerifier(self._photographs, making.interface, making.task)
        for step in (make_onnx, measure_heads, make_device_graph):
            step(making)
        assert making.device_graph is not None
        path = making.folder / "device.onnx"
        save(in_float32(making.device_graph), path)
        return Made(making.device_graph, _predictor(path, as_float32(making.interface), making.task))

    def _estimated(self, graph: DeviceGraph, shaves: int) -> tuple[Interval, float]:
        """The time of one inference in ms, and what it takes of the device's memory in MB."""
        digest = hashlib.sha256(f"{COMPILER} {shaves} {graph.images}".encode())
        digest.update(graph.model.SerializeToString(deterministic=True))
        path = self._folder / BLOBS_FOLDER / f"{digest.hexdigest()[:24]}.blob"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            compile_graph(graph, path, shaves=shaves)
        blob = read_blob(path)
        costs = estimate(blob)
        low, high = costs.range_ms
        known = Interval(costs.total_ms, low, float("inf") if costs.shave_macs else high)
        return known, (len(blob.constants) + blob.header.bss_size) / 1e6

    def close(self) -> None:
        """See ``Subject.close``."""
        while self._made:
            self._made.popitem()[1].predictor.close()
        self._scratch.cleanup()


UNCERTAINTY_WORDS: Final = f"estimated, ±{UNCERTAINTY:.0%}"


def as_float32(interface: Interface) -> Interface:
    """What a device graph takes, its pixels as float32 instead of bytes."""

    def widened(given: Input) -> Input:
        if given.preprocess is None:
            return given
        preprocess = replace(given.preprocess, baked=False, mean=0.0, scale=1.0)
        return replace(given, preprocess=preprocess, tensor=replace(given.tensor, dtype="float32"))

    device = interface.on_device()
    return replace(device, inputs=tuple(map(widened, device.inputs)))


def _predictor(path: Path, interface: Interface, task: Task[Any]) -> Predictor[Any]:
    source, runtime = ModelSource(onnx=path), RuntimeOptions(backend="onnxruntime")
    return predictor_for(
        lambda size: open_backend(source, runtime, interface.at(size).tensors),
        interface=interface,
        task=task,
        runtime="the device graph in onnxruntime",
    )


class _Unheard:
    """A listener that says nothing."""

    def started(self, step: str) -> None:
        """See ``Listener``."""

    def finished(self, step: str, seconds: float, note: str, report: StageReport | None) -> None:
        """See ``Listener``."""
