"""Where a chain starts: a torch network, an ONNX file, or the ONNX of an earlier bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from oakpoint.backends.identity import sha256_of_model
from oakpoint.bundle.folder import is_bundle, open_bundle
from oakpoint.bundle.records import WeightsRecord
from oakpoint.chain.options import ConversionOptions
from oakpoint.convert.one_size import require_size
from oakpoint.convert.onnx_constants import onnx_constants
from oakpoint.convert.onnx_intake import fixed_batch, read_network
from oakpoint.convert.weights_in_onnx import weights_said_in
from oakpoint.errors import UsageError
from oakpoint.extractor import default_preprocess
from oakpoint.features.types import DecodeOptions
from oakpoint.images.preprocess import Preprocess
from oakpoint.networks.licences import recognised_record
from oakpoint.networks.registry import LoadedNetwork, is_network_name, load_network


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A network to convert: exactly one of ``network`` and ``model`` is there.

    Attributes:
        name: as the manifest will call it.
        weights: the record of its weights.
        preprocess: how images become its input.
        decode: how its outputs become keypoints.
        network: the torch network.
        model: the ONNX model.
        parent: sha256 of the file it came from, if any.
    """

    name: str
    weights: WeightsRecord
    preprocess: Preprocess
    decode: DecodeOptions
    network: LoadedNetwork | None = None
    model: onnx.ModelProto | None = None
    parent: str | None = None


def open_origin(options: ConversionOptions) -> Origin:
    """Find out what ``options.model`` is, and load it.

    Raises:
        UsageError: an unknown name, no size, weights where none are taken, or another batch than it is fixed to.
        OakpointError: from reading weights, ONNX or bundle.
    """
    path = Path(options.model)
    if is_bundle(path) or (path.is_dir() and not is_network_name(options.model)):
        return _from_bundle(path, options)
    if options.size is None:
        raise UsageError("size: needed for a network or an ONNX file, as --size 320x200 (width x height)")
    preprocess = default_preprocess(options.size)
    if path.suffix == ".onnx":
        return _from_onnx(path, options, preprocess)
    network = load_network(options.model, options.weights, seed=options.seed)
    return Origin(
        name=network.name,
        weights=network.weights,
        preprocess=preprocess,
        decode=DecodeOptions.preset(network.decode_preset),
        network=network,
        parent=network.weights.sha256,
    )


def _from_onnx(path: Path, options: ConversionOptions, preprocess: Preprocess) -> Origin:
    _refuse_weights(path, options)
    model = read_network(path)
    _check_batch(path, model, options)
    require_size(str(path), model, preprocess.size)
    sha256 = sha256_of_model(path)
    weights = recognised_record(_claimed(model, path.name, sha256), onnx_constants(model))
    decode = DecodeOptions.preset("superpoint")
    return Origin(name=path.name, weights=weights, preprocess=preprocess, decode=decode, model=model, parent=sha256)


def _claimed(model: onnx.ModelProto, file: str, sha256: str) -> WeightsRecord:
    """What an ONNX file says of its weights: one of ours has their record with it."""
    said = weights_said_in(model)
    if said is None:
        return WeightsRecord(file=file, sha256=sha256, name="unknown", licence="unknown", origin="an ONNX file")
    return replace(said, file=file, sha256=sha256, seed=None)


def _check_batch(path: Path, model: onnx.ModelProto, options: ConversionOptions) -> None:
    """Refuse a network that is fixed to another batch than the target's."""
    batch = fixed_batch(model)
    if batch not in (None, 1) and options.reaches("blob"):
        raise UsageError(
            f"{path}: its batch is fixed to {batch}, and a Myriad X blob has batch 1; export it with batch 1 or an "
            f"open batch, or stop before the blob (--to ir --batch {batch})"
        )
    if batch not in (None, options.batch) and options.reaches("ir"):
        raise UsageError(
            f"{path}: its batch is fixed to {batch}, and {options.batch} was asked for; give --batch {batch}, or "
            "export it with an open batch"
        )


def _from_bundle(path: Path, options: ConversionOptions) -> Origin:
    _refuse_weights(path, options)
    manifest = open_bundle(path).manifest
    onnx_file = path / manifest.artifact("onnx").main_file
    model = read_network(onnx_file)
    _check_batch(onnx_file, model, options)
    size = options.size or manifest.preprocess.size
    require_size(str(path), model, size)
    return Origin(
        name=manifest.network,
        weights=recognised_record(manifest.weights, onnx_constants(model)),
        preprocess=default_preprocess(size),
        decode=manifest.decode,
        model=model,
        parent=sha256_of_model(onnx_file),
    )


def _refuse_weights(path: Path, options: ConversionOptions) -> None:
    if options.weights is not None or options.seed is not None:
        raise UsageError(
            f"{path}: holds its own weights; leave out --weights and --random, which are for networks by name"
        )
