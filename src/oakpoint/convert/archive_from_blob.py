"""Blob to NN archive: the tar that DepthAI v3 takes, with a description of inputs and outputs.

Source: the NN archive's schema (``luxonis-ml``, ``config_version`` 1.0), which forbids keys of one's own except in the
metadata of heads; what decoding needs therefore stands in ``heads[0].metadata``.
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oakpoint.bundle.records import HeadsName, TensorSpec
from oakpoint.features.types import CELL_PX, DecodeOptions

CONFIG_NAME = "config.json"


def write_archive(
    blob: Path,
    archive: Path,
    *,
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    decode: DecodeOptions,
    heads: HeadsName,
) -> str:
    """Pack a blob into an NN archive (``.tar.xz``); the same blob gives the same bytes.

    Args:
        blob: the compiled network.
        archive: the file to write.
        name: of the model, as DepthAI shows it.
        inputs: the blob's inputs; U8 grey images with nothing left to scale.
        outputs: the blob's outputs.
        decode: written to the head's metadata for whoever decodes on the host.
        heads: what the blob puts out; its name stands there too.

    Returns:
        The tool that did it.
    """
    config = archive_config(name, blob.name, inputs, outputs, decode, heads)
    members = {CONFIG_NAME: json.dumps(config, indent=2).encode(), blob.name: blob.read_bytes()}
    with lzma.open(archive, "wb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)  # time, owner and mode stay at fixed values
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return "oakpoint"


def archive_config(
    name: str,
    path: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    decode: DecodeOptions,
    heads: HeadsName,
) -> dict[str, Any]:
    """The content of an archive's ``config.json``."""
    return {
        "config_version": "1.0",
        "model": {
            "metadata": {"name": name, "path": path},
            "inputs": [
                {
                    "name": tensor.name,
                    "dtype": tensor.dtype,
                    "input_type": "image",
                    "shape": list(tensor.shape),
                    "layout": "NCHW",
                    "preprocessing": {"mean": [0.0], "scale": [1.0], "reverse_channels": False, "dai_type": "GRAY8"},
                }
                for tensor in inputs
            ],
            "outputs": [
                {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)} for tensor in outputs
            ],
            "heads": [
                {
                    "name": "keypoints",
                    "parser": "Keypoints",
                    "outputs": [tensor.name for tensor in outputs],
                    "metadata": {"heads": heads, "cell_size_px": CELL_PX, **asdict(decode)},
                }
            ],
        },
    }
