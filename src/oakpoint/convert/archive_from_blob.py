"""Blob to NN archive: the tar that DepthAI v3 takes, with a description of inputs and outputs.

Source: the NN archive's schema (``luxonis-ml``, ``config_version`` 1.0), which forbids keys of one's own except in the
metadata of heads; what decoding needs therefore stands in ``heads[0].metadata``.
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oakpoint.bundle.interface import Input, Interface
from oakpoint.images.preprocess import Colour, Preprocess, Resize

CONFIG_NAME = "config.json"

IMAGE_TYPES: dict[Colour, str] = {"grey": "GRAY8", "bgr": "BGR888p", "rgb": "RGB888p"}
"""``dai.ImgFrame.Type`` of U8 images, channels one after the other (p for planar), as the blob reads them."""

RESIZE_MODES: dict[Resize, str] = {"stretch": "STRETCH", "crop": "CROP", "letterbox": "LETTERBOX"}
"""``dai.ImgResizeMode`` of a camera that brings its image to the input; DepthAI crops where nothing is said."""


def write_archive(
    blob: Path,
    archive: Path,
    *,
    name: str,
    interface: Interface,
    heads: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Pack a blob into an NN archive (``.tar.xz``); the same blob gives the same bytes.

    Args:
        blob: the compiled network.
        archive: the file to write.
        name: of the model, as DepthAI shows it.
        interface: of the blob: U8 images with nothing left to scale.
        heads: what its outputs mean, as the schema has it.

    Returns:
        The tool that did it.
    """
    write_members(archive, archive_config(name, blob.name, interface, heads), {blob.name: blob.read_bytes()})
    return "oakpoint"


def write_members(archive: Path, config: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write an NN archive: its config and further files by name; the same content gives the same bytes."""
    members = {CONFIG_NAME: json.dumps(config, indent=2).encode(), **files}
    with lzma.open(archive, "wb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)  # time, owner and mode stay at fixed values
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def archive_config(
    name: str,
    path: str,
    interface: Interface,
    heads: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The content of an archive's ``config.json``."""
    outputs = [
        {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)} for tensor in interface.outputs
    ]
    return config_of(name, path, map(input_facts, interface.inputs), outputs, heads)


def config_of(
    name: str,
    path: str,
    inputs: Iterable[Mapping[str, Any]],
    outputs: Iterable[Mapping[str, Any]],
    heads: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    """The schema's frame around what is said of a model's inputs, outputs and heads.

    Args:
        name: of the model.
        path: of its file within the archive.
        inputs: facts of each.
        outputs: facts of each.
        heads: what the outputs mean.
    """
    return {
        "config_version": "1.0",
        "model": {
            "metadata": {"name": name, "path": path},
            "inputs": [dict(facts) for facts in inputs],
            "outputs": [dict(facts) for facts in outputs],
            "heads": [dict(head) for head in heads],
        },
    }


def input_facts(given: Input) -> dict[str, Any]:
    """An input for the config, an image's pixels being taken as they are.

    Mean and scale of an image are 0 and 1: they lie within the blob. DepthAI takes them for a description, and reads
    type, size and resizing alone from here when it asks a camera for frames.

    Source: ``NeuralNetwork::getFrameCapability`` in depthai-core, src/pipeline/node/NeuralNetwork.cpp.
    """
    tensor, preprocess = given.tensor, given.preprocess
    facts: dict[str, Any] = {"name": tensor.name, "dtype": tensor.dtype}
    if preprocess is None:
        layout = "NCDHWXYZ"[: len(tensor.shape)] if len(tensor.shape) != 4 else "NCHW"
        return facts | {"input_type": "raw", "shape": list(tensor.shape), "layout": layout, "preprocessing": {}}
    return facts | {
        "input_type": "image",
        "shape": list(tensor.shape),
        "layout": preprocess.layout.upper(),
        "preprocessing": _preprocessing(preprocess),
    }


def _preprocessing(preprocess: Preprocess) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "mean": [0.0] * preprocess.channels,
        "scale": [1.0] * preprocess.channels,
        "reverse_channels": preprocess.colour == "rgb",  # the schema: «if True input to the model is RGB else BGR»
        "dai_type": IMAGE_TYPES[preprocess.colour],
    }
    mode = RESIZE_MODES.get(preprocess.resize)
    return facts if mode is None else facts | {"resize_mode": mode}
