"""``load``: an extractor from a bundle, a file or a network's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from oakpoint.backends.activations import memory_bytes
from oakpoint.backends.base import Backend
from oakpoint.backends.identity import described_network, identity_of_network, sha256_of_model
from oakpoint.backends.limit import MemoryLimit
from oakpoint.backends.registry import ModelSource, RuntimeOptions, file_that_runs, open_backend
from oakpoint.bundle.folder import Bundle, bundle_near, is_bundle, open_bundle
from oakpoint.bundle.records import ArtifactKind
from oakpoint.convert.one_size import require_size_of_file
from oakpoint.errors import UsageError
from oakpoint.export import REFERENCE_SIZE, ExportedNetwork
from oakpoint.extractor import Extractor, ModelIdentity, default_preprocess
from oakpoint.features.types import CELL_PX, DecodeOptions
from oakpoint.files import sha256_of_file
from oakpoint.images.preprocess import Preprocess
from oakpoint.images.sizes import size_or_native
from oakpoint.myriad.blob import read_blob
from oakpoint.networks.registry import (
    LoadedNetwork,
    is_network_name,
    load_network,
    reload_network,
)


def load(
    model: str | Path,
    *,
    weights: str | Path | None = None,
    size: tuple[int, int] | Sequence[int] | str | None = None,
    max_side: int | None = None,
    max_memory_gb: float | None = None,
    backend: str = "openvino",
    device: str = "CPU",
    precision: str = "f32",
    threads: int | None = None,
    **decode_changes: Any,
) -> Extractor:
    """Make an extractor from a bundle, an ONNX file or a network's name.

    Args:
        model: a bundle's folder, a ``.onnx`` or ``.blob`` file, ``acorn``, ``superpoint``, or ``package.module:Class``.
        weights: the weights file, for a network given by name; for a bundle only the torch backend needs it.
        size: (W, H) in pixels to which images are scaled, or the same as text, ``"320x200"``; ``"native"`` takes each
            image at its own size, cut to multiples of 8. Default: the bundle's size, or ``"native"`` for a network
            given by name. A blob has one size, and no other is taken.
        max_side: takes images at their own size too, but scales those down whose longer side is longer, in pixels; the
            ratio is kept, as hloc's ``resize_max`` keeps it.
        max_memory_gb: what the model may take for one image, in GB of 10⁹ bytes. Default: as much as is free when it is
            opened for a size. What would take more (``backends.activations`` has how that is estimated) is refused.
        backend: ``openvino``, ``onnxruntime``, ``torch``, or ``myriad_simulator`` for what the camera computes.
        device: OpenVINO's device.
        precision: OpenVINO's arithmetic.
        threads: CPU threads; None lets the runtime choose.
        **decode_changes: fields of ``DecodeOptions`` that differ from the bundle's or the network's preset.

    Raises:
        OakpointError: one of its kinds, naming what was expected, what came and what to do.
    """
    options = RuntimeOptions(backend=backend, device=device, precision=precision, threads=threads)
    found = _found(model, Path(weights) if weights is not None else None, options)
    chosen = _chosen_size(size_or_native(size), max_side, found)
    if found.exported is not None:
        found.exported.export(None if chosen == "native" else chosen)
    return Extractor(
        partial(_opened, found, options),
        preprocess=found.preprocess if chosen == "native" else replace(found.preprocess, size=chosen),
        decode=found.decode.with_changes(**decode_changes),
        native=chosen == "native",
        max_side=max_side,
        memory=MemoryLimit(lambda at: memory_bytes(_source_of(found), options, at), max_memory_gb),
        runtime=f"{backend} {device} {precision}",
        identify=found.identify,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a model's name stands for.

    Attributes:
        source: the forms in which it is at hand.
        preprocess: how an image becomes its input.
        decode: how its outputs become keypoints.
        identify: tells the model from others.
        has_size: images are scaled to the size in ``preprocess`` unless another is asked for.
        one_size: it runs at that size only.
        exported: of a network by name, where the runtime takes ONNX; then ``source`` has the module alone.
    """

    source: ModelSource
    preprocess: Preprocess
    decode: DecodeOptions
    identify: Callable[[], ModelIdentity]
    has_size: bool
    one_size: bool = False
    exported: ExportedNetwork | None = None


def _source_of(found: _Found) -> ModelSource:
    return found.source if found.exported is None else found.exported.source


def _opened(found: _Found, options: RuntimeOptions, size: tuple[int, int]) -> Backend:
    """Open a model at a size that it holds for."""
    if found.exported is not None:
        return found.exported.open(size)
    if found.source.onnx is not None and options.backend in ("onnxruntime", "openvino"):
        require_size_of_file(found.source.onnx, size)
    return open_backend(found.source, options, size=size)


def _found(model: str | Path, weights: Path | None, options: RuntimeOptions) -> _Found:
    path, any_size = Path(model), default_preprocess((CELL_PX, CELL_PX))
    if is_bundle(path):
        return _found_bundle(open_bundle(path), options, weights)
    if path.suffix == ".blob":
        source, preprocess = _source_of_blob(path)
        return _Found(
            source=source,
            preprocess=preprocess,
            decode=DecodeOptions.preset("superpoint"),
            identify=partial(_identity_of_file, path),
            has_size=True,
            one_size=True,
        )
    if path.suffix == ".onnx":
        return _Found(
            source=ModelSource(onnx=_existing(path)),
            preprocess=any_size,
            decode=DecodeOptions.preset("superpoint"),
            identify=partial(_identity_of_file, path),
            has_size=False,
        )
    if is_network_name(str(model)) or not path.exists():
        network = load_network(str(model), weights)
        return _found_network(network, options)
    raise UsageError(
        f"{model}: neither a bundle (no manifest.json) nor a .onnx or .blob file nor a network's name"
        f"{bundle_near(path)}"
    )


def _found_network(network: LoadedNetwork, options: RuntimeOptions) -> _Found:
    """The network itself for torch; for the other runtimes what it is exported to."""
    exported = None if options.backend == "torch" else ExportedNetwork(network, options)
    return _Found(
        source=ModelSource(module=network.module),
        preprocess=default_preprocess(REFERENCE_SIZE),
        decode=DecodeOptions.preset(network.decode_preset),
        identify=lambda: _identity_of_network(
            network, None if exported is None else exported.source.onnx, described_network(network)
        ),
        has_size=False,
        exported=exported,
    )


def _found_bundle(bundle: Bundle, options: RuntimeOptions, weights: Path | None) -> _Found:
    source, identify = _source_of_bundle(bundle, options, weights)
    return _Found(
        source=source,
        preprocess=bundle.manifest.artifact(_artifact_of(options.backend, bundle)).preprocess,
        decode=bundle.manifest.decode,
        identify=identify,
        has_size=True,
        one_size=options.backend == "myriad_simulator",
    )


def _chosen_size(
    asked: tuple[int, int] | Literal["native"] | None, max_side: int | None, found: _Found
) -> tuple[int, int] | Literal["native"]:
    own = found.preprocess.size
    if found.one_size and (max_side is not None or asked not in (None, "native", own)):
        wanted = f"a longest side of {max_side}" if max_side is not None else "{}x{}".format(*asked or ())
        raise UsageError(f"size: the blob was compiled for {own[0]}x{own[1]}, not for {wanted}; a blob has one size")
    if max_side is not None:
        if isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < CELL_PX:
            raise UsageError(f"max_side: expected {CELL_PX} or more whole pixels, got {max_side!r}")
        if isinstance(asked, tuple):
            raise UsageError(
                f"max_side: counts for images at their own size only, not at {asked[0]}x{asked[1]}; leave one out"
            )
        return "native"
    return asked or (own if found.has_size else "native")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"{path}: no such ONNX file")
    return path


def _source_of_bundle(
    bundle: Bundle, options: RuntimeOptions, weights: Path | None
) -> tuple[ModelSource, Callable[[], ModelIdentity]]:
    """The form of a bundle's model that a backend runs, and what tells it from others."""
    manifest = bundle.manifest
    formerly = manifest.artifact("onnx").files[manifest.artifact("onnx").main_file]
    if options.backend == "torch":
        network = reload_network(manifest.network, manifest.weights, weights)
        return ModelSource(module=network.module), partial(_identity_of_network, network, None, formerly)
    if options.backend == "myriad_simulator":
        blob = bundle.path("blob")
        return ModelSource(blob=blob), partial(_identity_of_file, blob, formerly)
    source = ModelSource(onnx=bundle.path("onnx"), ir=bundle.path("ir") if manifest.has("ir") else None)
    return source, partial(_identity_of_file, file_that_runs(source, options.backend) or bundle.path("onnx"), formerly)


def _identity_of_file(path: Path, formerly: str | None = None) -> ModelIdentity:
    return ModelIdentity(sha256_of_model(path), formerly or sha256_of_file(path))


def _identity_of_network(network: LoadedNetwork, onnx: Path | None, formerly: str) -> ModelIdentity:
    return ModelIdentity(identity_of_network(network, onnx), formerly)


def _artifact_of(backend: str, bundle: Bundle) -> ArtifactKind:
    """The artefact that a backend runs; its preprocessing says what is inside the graph."""
    if backend == "myriad_simulator":
        return "blob"
    return "ir" if backend == "openvino" and bundle.manifest.has("ir") else "onnx"


def _source_of_blob(path: Path) -> tuple[ModelSource, Preprocess]:
    """A blob file by itself: U8 grey images of its size, scaled within."""
    shape = read_blob(path).inputs[0].shape
    return ModelSource(blob=path), replace(default_preprocess((shape[-1], shape[-2])), baked=True)
