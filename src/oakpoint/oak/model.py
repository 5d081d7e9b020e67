"""What of a bundle runs on the camera: blob, preprocessing, outputs, decode options."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.chained import HostTail, finished, open_tail
from oakpoint.backends.myriad_simulator import MyriadSimulatorBackend
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.backends.registry import with_tail
from oakpoint.bundle.folder import Bundle, bundle_near, is_bundle, open_bundle
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.bundle.records import ArtifactKind
from oakpoint.errors import BackendError, BlobError, BundleError, UsageError, naming
from oakpoint.features.types import DecodeOptions
from oakpoint.images.preprocess import Preprocess
from oakpoint.models.bundle_folder import host_graph_of, tail_of_bundle
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.tasks.base import AS_THEY_ARE, Task
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.registry import task_of_bundle

STAND_INS = ("openvino", "myriad_simulator")
"""What can take the place of the camera's network: the bundle's own on the CPU, with the blob's heads; or the blob,
executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """A bundle, seen from the camera.

    Attributes:
        bundle: the opened bundle.
        interface: what the network takes and gives: how a frame becomes its uint8 input, what is left being within the
            graph.
        task: what its outputs mean.
        tail: what goes on from the camera's tensors on the host, of a network that was cut; None of a whole one.
    """

    bundle: Bundle
    interface: Interface
    task: Task[Any]
    tail: HostTail | None = None

    @property
    def preprocess(self) -> Preprocess:
        """How a frame becomes the network's input, levels from 0 to 255."""
        return self.interface.image

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that the network gives on the camera: of one that was cut, those that cross."""
        return self.interface.outputs

    def open_tail(self) -> Backend | None:
        """Load the host's part of a network that was cut, for the caller to close; None of a whole one.

        Raises:
            BackendError: its runtime cannot load it.
        """
        return None if self.tail is None else open_tail(self.tail.path, self.tail.runtime)

    def chained(self, device: Backend) -> Backend:
        """What runs the whole network, of what runs its part on the camera; closed with it."""
        return device if self.tail is None else with_tail(device, self.tail)

    def whole(self, tensors: Tensors, tail: Backend | None) -> Tensors:
        """What the whole network gives, of what its part on the camera gave.

        Args:
            tensors: of ``outputs``.
            tail: from ``open_tail``.
        """
        if tail is None or self.tail is None:
            return tensors
        return finished(tensors, tail, self.tail.outputs)

    @property
    def decode(self) -> DecodeOptions:
        """How they become keypoints, of a network with keypoints."""
        assert isinstance(self.task, Keypoints), "asked for where keypoints are wanted"
        return self.task.decode

    @property
    def input_name(self) -> str:
        """Name of the network's input."""
        return self.interface.inputs[0].tensor.name

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the network's input in pixels."""
        return self.preprocess.size


def open_device_model(path: str | Path, **changes: Any) -> DeviceModel:
    """Open a bundle for the camera, its blob checked against its manifest.

    Args:
        path: the bundle's folder.
        **changes: parameters of the task that differ from the bundle's.

    Raises:
        UsageError: not a bundle.
        BundleError: altered, or without a blob.
        BackendError: the blob is of another version or for other tensors than the manifest says.
    """
    bundle = _bundle(path)
    artifact = bundle.manifest.artifact("blob")
    try:
        blob = read_blob(bundle.path("blob"))
    except BlobError as error:
        raise BackendError(str(error)) from error
    interface = artifact.interface
    _check_blob(blob, interface, str(bundle.path("blob")))
    return _device_model(bundle, interface, changes)


def _device_model(bundle: Bundle, interface: Interface, changes: Mapping[str, Any]) -> DeviceModel:
    task = task_of_bundle(bundle).with_changes(**changes)
    return DeviceModel(bundle=bundle, interface=interface, task=task, tail=tail_of_bundle(bundle))


def open_stand_in(path: str | Path, stand_in: str, **changes: Any) -> tuple[DeviceModel, Backend]:
    """Open a bundle for a pipeline with no camera: the model, and what takes the place of the camera's network.

    Args:
        path: the bundle's folder.
        stand_in: one of ``STAND_INS``; ``openvino`` needs no blob.
        **changes: parameters of the task that differ from the bundle's.

    Raises:
        UsageError: not a bundle, or an unknown stand-in.
        BundleError, BackendError: see ``open_device_model``.
    """
    if stand_in not in STAND_INS:
        raise UsageError(f"stand-in: expected one of {', '.join(STAND_INS)}, got {stand_in!r}")
    if stand_in == "myriad_simulator":
        model = open_device_model(path, **changes)
        shapes = {spec.name: spec.shape for spec in model.interface.tensors}
        return model, MyriadSimulatorBackend(model.bundle.path("blob"), shapes=shapes)
    bundle = _bundle(path)
    interface, backend = _on_cpu(bundle)
    interface = replace(interface.on_device(), outputs=backend.outputs)
    return _device_model(bundle, interface, changes), backend


def _on_cpu(bundle: Bundle) -> tuple[Interface, OpenVinoBackend]:
    """The bundle's network in OpenVINO, with the outputs of its blob; the network's own where there is no blob."""
    manifest = bundle.manifest
    if manifest.split is not None:
        interface = manifest.artifact("device_part").interface
        shapes = {spec.name: spec.shape for spec in interface.tensors}
        return interface, OpenVinoBackend(bundle.path("device_part"), shapes=shapes)
    if manifest.has("blob") and manifest.device.heads != AS_THEY_ARE:
        model = host_graph_of(bundle)
        with tempfile.TemporaryDirectory(prefix="oakpoint-stand-in-") as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(model, path)
            with naming(path, f"{bundle.path('onnx')} with the heads {manifest.device.heads}"):
                return manifest.interface, OpenVinoBackend(path)
    kind: ArtifactKind = "ir" if manifest.has("ir") else "onnx"
    interface = manifest.artifact(kind).interface
    shapes = {spec.name: spec.shape for spec in interface.at(interface.image.size).tensors}
    return interface, OpenVinoBackend(bundle.path(kind), shapes=shapes)


def _bundle(path: str | Path) -> Bundle:
    if not is_bundle(Path(path)):
        remedy = bundle_near(Path(path)) or "; a camera runs what  oakpoint convert  makes"
        raise UsageError(f"{path}: not a bundle{remedy}")
    return open_bundle(Path(path))


def _check_blob(blob: Blob, interface: Interface, name: str) -> None:
    """The blob takes frames of the manifest's size and colours and gives the manifest's tensors."""
    taken = [(np.dtype(tensor.dtype.numpy).name, tuple(tensor.shape)) for tensor in blob.inputs]
    expected = [("uint8", interface.image.tensor_shape)]
    if taken != expected:
        raise BackendError(f"{name}: expected one input, {expected[0]}, got {taken}; convert again")
    given = {tensor.name: tuple(tensor.shape) for tensor in blob.outputs}
    declared = {spec.name: spec.shape for spec in interface.outputs}
    if given != declared:
        raise BackendError(f"{name}: expected the outputs {declared}, got {given}; convert again")


def has_own_blob(model: DeviceModel, shaves: int | None) -> bool:
    """Whether the bundle's blob is the one for so many SHAVE cores (None: for any); otherwise its superblob has it."""
    return shaves in (None, model.bundle.manifest.device.shaves)


def superblob_of(model: DeviceModel) -> Path:
    """The bundle's superblob.

    Raises:
        UsageError: it has none.
    """
    try:
        return model.bundle.path("superblob")
    except BundleError as error:
        compiled = model.bundle.manifest.device.shaves
        raise UsageError(
            f"shaves: this bundle's blob is compiled for {compiled}; for other numbers make one with  "
            "oakpoint convert … --superblob  or  --shaves N"
        ) from error
