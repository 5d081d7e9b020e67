"""A bundle that a conversion made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import onnx

from oakpoint.backends.chained import HostTail
from oakpoint.backends.identity import identity_of_network, sha256_of_model
from oakpoint.backends.registry import INT8, ModelSource, RuntimeOptions, file_that_runs
from oakpoint.bundle.folder import Bundle, open_bundle
from oakpoint.bundle.manifest import Manifest
from oakpoint.bundle.records import ArtifactKind
from oakpoint.convert.device_graph import DeviceGraph, DeviceSource
from oakpoint.convert.one_size import require_size
from oakpoint.convert.onnx_constants import onnx_constants
from oakpoint.convert.onnx_intake import open_onnx
from oakpoint.errors import UsageError
from oakpoint.models.base import (
    Model,
    ModelOptions,
    Origin,
    Runnable,
    Size,
    identity_of_file,
    identity_of_files,
    require_nothing_said,
    require_own_weights,
)
from oakpoint.models.onnx_file import fixed_interface, open_onnx_at
from oakpoint.networks.licences import recognised_record
from oakpoint.networks.registry import reload_network
from oakpoint.predictor import ModelIdentity
from oakpoint.tasks.keypoints.fused.recorded import RecordedGraph
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.registry import task_of_bundle


@final
@dataclass(frozen=True, slots=True)
class BundleModel(Model):
    """A bundle's folder.

    Attributes:
        folder: the bundle.
        options: what was said of it.
    """

    folder: Path
    options: ModelOptions

    def runnable(self, options: RuntimeOptions) -> Runnable:
        """See ``Model.runnable``: the form of the bundle's model that the backend runs."""
        require_nothing_said(self.folder, self.options)
        bundle = open_bundle(self.folder)
        manifest = bundle.manifest
        source, identify = self._source(bundle, options)
        interface = manifest.artifact(_artifact_of(options, manifest)).interface
        if source.tail is not None:  # with it, it gives what the whole network gives
            interface = replace(interface, outputs=manifest.interface.outputs)
        return Runnable(
            open_at=partial(open_onnx_at, source, options, interface),
            source=lambda: source,
            interface=interface,
            task=task_of_bundle(bundle),
            identify=identify,
            has_size=True,
            one_size=options.backend == "myriad_simulator",
            decoding_graph=_decoding_graph(bundle),
        )

    def _source(self, bundle: Bundle, options: RuntimeOptions) -> tuple[ModelSource, Callable[[], ModelIdentity]]:
        """The form of the model that a backend runs, and what tells it from others."""
        manifest = bundle.manifest
        formerly = manifest.artifact("onnx").files[manifest.artifact("onnx").main_file]
        if options.backend == "torch":
            network = reload_network(
                manifest.network, manifest.weights, self.options.weights, arguments=manifest.arguments
            )
            source = ModelSource(module=network.module, outputs=manifest.torch_outputs)
            return source, lambda: ModelIdentity(identity_of_network(network, None), formerly)
        if options.backend == "myriad_simulator":
            blob, tail = bundle.path("blob"), tail_of_bundle(bundle)
            files = (blob,) if tail is None else (blob, tail.path)
            return ModelSource(blob=blob, tail=tail), lambda: identity_of_files(files, formerly)
        kind = _artifact_of(options, manifest)
        source = ModelSource(onnx=bundle.path("onnx"), ir=None if kind == "onnx" else bundle.path(kind))
        runs = file_that_runs(source, options.backend) or bundle.path("onnx")
        return source, partial(identity_of_file, runs, formerly)

    def origin(self, size: Size | None) -> Origin:
        """See ``Model.origin``: the bundle's ONNX, for another size or other heads."""
        require_nothing_said(self.folder, self.options)
        require_own_weights(self.folder, self.options)
        bundle = open_bundle(self.folder)
        manifest = bundle.manifest
        onnx_file = self.folder / manifest.artifact("onnx").main_file
        model = open_onnx(onnx_file)
        if size is not None and manifest.interface.size is None:
            raise UsageError(f"--size: is for images, and the network of {self.folder} takes none; leave it out")
        if (size := size or manifest.interface.size) is not None:
            require_size(str(self.folder), model, size)
        interface = fixed_interface(model, manifest.interface.at(size, batch=manifest.interface.batch).inputs)
        return Origin(
            name=manifest.network,
            weights=recognised_record(manifest.weights, onnx_constants(model)),
            interface=interface,
            task=task_of_bundle(bundle),
            model=model,
            parent=sha256_of_model(onnx_file),
        )


def _artifact_of(options: RuntimeOptions, manifest: Manifest) -> ArtifactKind:
    """The artefact that a backend runs; its preprocessing says what is inside the graph."""
    if options.backend == "myriad_simulator":
        return "blob"
    if options.precision == INT8:
        return "ir_int8"
    return "ir" if options.backend == "openvino" and manifest.has("ir") else "onnx"


def _decoding_graph(bundle: Bundle) -> RecordedGraph | None:
    task = task_of_bundle(bundle)
    if not bundle.manifest.has("fused") or not isinstance(task, Keypoints):
        return None
    return RecordedGraph(bundle.path("fused"), bundle.manifest.artifact("fused").interface, task)


def device_source_of(bundle: Bundle) -> DeviceSource:
    """What the blob of a bundle is made from: its ONNX with the task's heads, or the device's part of it."""
    manifest = bundle.manifest
    if manifest.split is not None:
        return DeviceSource(path=bundle.path("device_part"), interface=manifest.artifact("device_part").interface)
    heads = task_of_bundle(bundle).device_rewrites(manifest.device, manifest.interface)
    return DeviceSource(path=bundle.path("onnx"), interface=manifest.interface, heads=heads)


def tail_of_bundle(bundle: Bundle) -> HostTail | None:
    """What the host does behind a bundle's blob; None where the blob is the whole network."""
    manifest = bundle.manifest
    if manifest.split is None:
        return None
    outputs = tuple(spec.name for spec in manifest.interface.outputs)
    return HostTail(path=bundle.path("host_tail"), runtime=manifest.split.runtime, outputs=outputs)


def device_graph_of(bundle: Bundle) -> DeviceGraph:
    """The device graph of a bundle, made again from its ONNX.

    Raises:
        ConversionError: it cannot be made.
    """
    return device_source_of(bundle).graph()


def host_graph_of(bundle: Bundle) -> onnx.ModelProto:
    """The bundle's host model with the outputs of its device graph: what a runtime gives in the camera's place.

    Raises:
        ConversionError: it cannot be made.
    """
    return device_source_of(bundle).on_host()
