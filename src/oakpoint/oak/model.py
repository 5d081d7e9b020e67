"""What of a bundle runs on the camera: blob, preprocessing, outputs, decode options."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from oakpoint.backends.base import Backend
from oakpoint.backends.myriad_simulator import MyriadSimulatorBackend
from oakpoint.backends.openvino import OpenVinoBackend
from oakpoint.backends.registry import INPUT
from oakpoint.bundle.folder import Bundle, bundle_near, is_bundle, open_bundle
from oakpoint.bundle.records import ArtifactKind, TensorSpec
from oakpoint.convert.device_graph import host_graph_with_heads, image_input
from oakpoint.errors import BackendError, BlobError, BundleError, UsageError, naming
from oakpoint.features.types import DecodeOptions
from oakpoint.images.preprocess import Preprocess
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.tasks.keypoints.heads.registry import Heads, KeypointHeads

STAND_INS = ("openvino", "myriad_simulator")
"""What can take the place of the camera's network: the bundle's own on the CPU, with the blob's heads; or the blob,
executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """A bundle, seen from the camera.

    Attributes:
        bundle: the opened bundle.
        preprocess: how a frame becomes the network's grey input, uint8 (H, W): what is left of it is within the graph.
        outputs: the tensors that the network gives.
        decode: how they become keypoints.
    """

    bundle: Bundle
    preprocess: Preprocess
    outputs: tuple[TensorSpec, ...]
    decode: DecodeOptions

    @property
    def size(self) -> tuple[int, int]:
        """(W, H) of the network's input in pixels."""
        return self.preprocess.size


def open_device_model(path: str | Path, **decode_changes: Any) -> DeviceModel:
    """Open a bundle for the camera, its blob checked against its manifest.

    Args:
        path: the bundle's folder.
        **decode_changes: fields of ``DecodeOptions`` that differ from the bundle's.

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
    _check_blob(blob, artifact.preprocess.size, artifact.outputs, str(bundle.path("blob")))
    return DeviceModel(
        bundle=bundle,
        preprocess=artifact.preprocess,
        outputs=artifact.outputs,
        decode=bundle.manifest.decode.with_changes(**decode_changes),
    )


def open_stand_in(path: str | Path, stand_in: str, **decode_changes: Any) -> tuple[DeviceModel, Backend]:
    """Open a bundle for a pipeline with no camera: the model, and what takes the place of the camera's network.

    Args:
        path: the bundle's folder.
        stand_in: one of ``STAND_INS``; ``openvino`` needs no blob.
        **decode_changes: fields of ``DecodeOptions`` that differ from the bundle's.

    Raises:
        UsageError: not a bundle, or an unknown stand-in.
        BundleError, BackendError: see ``open_device_model``.
    """
    if stand_in not in STAND_INS:
        raise UsageError(f"stand-in: expected one of {', '.join(STAND_INS)}, got {stand_in!r}")
    if stand_in == "myriad_simulator":
        model = open_device_model(path, **decode_changes)
        return model, MyriadSimulatorBackend(model.bundle.path("blob"), size=model.size)
    bundle = _bundle(path)
    preprocess, backend = _on_cpu(bundle)
    model = DeviceModel(
        bundle=bundle,
        preprocess=replace(preprocess, baked=True),
        outputs=backend.outputs,
        decode=bundle.manifest.decode.with_changes(**decode_changes),
    )
    return model, backend


def _on_cpu(bundle: Bundle) -> tuple[Preprocess, OpenVinoBackend]:
    """The bundle's network in OpenVINO, with the outputs of its blob; the network's own where there is no blob."""
    manifest = bundle.manifest
    if manifest.has("blob") and manifest.heads != "dense":
        preprocess = manifest.artifact("onnx").preprocess
        heads = KeypointHeads(Heads.of(manifest), preprocess.size)
        model = host_graph_with_heads(bundle.path("onnx"), [image_input(INPUT, preprocess)], [heads])
        with tempfile.TemporaryDirectory(prefix="oakpoint-stand-in-") as folder:
            path = Path(folder) / "model.onnx"
            onnx.save(model, path)
            with naming(path, f"{bundle.path('onnx')} with the heads {manifest.heads}"):
                return preprocess, OpenVinoBackend(path)
    kind: ArtifactKind = "ir" if manifest.has("ir") else "onnx"
    preprocess = manifest.artifact(kind).preprocess
    width, height = preprocess.size
    return preprocess, OpenVinoBackend(bundle.path(kind), input_shape=(1, 1, height, width))


def _bundle(path: str | Path) -> Bundle:
    if not is_bundle(Path(path)):
        remedy = bundle_near(Path(path)) or "; a camera runs what  oakpoint convert  makes"
        raise UsageError(f"{path}: not a bundle{remedy}")
    return open_bundle(Path(path))


def _check_blob(blob: Blob, size: tuple[int, int], outputs: tuple[TensorSpec, ...], name: str) -> None:
    """The blob takes grey frames of the manifest's size and gives the manifest's tensors."""
    taken = [(np.dtype(tensor.dtype.numpy).name, tuple(tensor.shape)) for tensor in blob.inputs]
    expected = [("uint8", (1, 1, size[1], size[0]))]
    if taken != expected:
        raise BackendError(f"{name}: expected one input, {expected[0]}, got {taken}; convert again")
    given = {tensor.name: tuple(tensor.shape) for tensor in blob.outputs}
    declared = {spec.name: spec.shape for spec in outputs}
    if given != declared:
        raise BackendError(f"{name}: expected the outputs {declared}, got {given}; convert again")


def has_own_blob(model: DeviceModel, shaves: int | None) -> bool:
    """Whether the bundle's blob is the one for so many SHAVE cores (None: for any); otherwise its superblob has it."""
    return shaves in (None, model.bundle.manifest.shaves)


def superblob_of(model: DeviceModel) -> Path:
    """The bundle's superblob.

    Raises:
        UsageError: it has none.
    """
    try:
        return model.bundle.path("superblob")
    except BundleError as error:
        compiled = model.bundle.manifest.shaves
        raise UsageError(
            f"shaves: this bundle's blob is compiled for {compiled}; for other numbers make one with  "
            "oakpoint convert … --superblob  or  --shaves N"
        ) from error
