"""The one place that answers what MODEL is; only the module of that kind is imported."""

from __future__ import annotations

from pathlib import Path

from oakpoint.bundle.folder import bundle_near, is_bundle
from oakpoint.errors import UsageError
from oakpoint.models.base import Model, ModelOptions
from oakpoint.networks.registry import is_network_name

WEIGHTS_SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin")
"""Files that hold weights or a program of torch: what is wrong with them as a model, loading says."""


def model_of(name: str | Path, options: ModelOptions | None = None) -> Model:
    """What a bundle's folder, a file or a network's name stands for; no file is opened yet.

    Args:
        name: a bundle's folder, a ``.onnx`` or ``.blob`` file, ``acorn``, ``superpoint``, or ``package.module:Class``.
        options: what else was said of it.

    Raises:
        UsageError: something else; the message says what lies near.
    """
    path, said = Path(name), options or ModelOptions()
    if is_bundle(path):
        from oakpoint.models.bundle_folder import BundleModel

        return BundleModel(path, said)
    if path.suffix == ".blob":
        from oakpoint.models.blob_file import BlobModel

        return BlobModel(path, said)
    if path.suffix == ".onnx":
        from oakpoint.models.onnx_file import OnnxModel

        return OnnxModel(path, said)
    if is_network_name(str(name)) or not path.exists() or path.suffix in WEIGHTS_SUFFIXES:
        from oakpoint.models.network import NetworkModel

        return NetworkModel(str(name), said)
    raise UsageError(
        f"{name}: neither a bundle (no manifest.json) nor a .onnx or .blob file nor a network's name{bundle_near(path)}"
    )
