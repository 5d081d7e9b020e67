"""Manifests of schema 1, of which every network was one for keypoints: read as what schema 2 says of the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from oakpoint.bundle.interface import OPEN_BATCH, TensorSpec
from oakpoint.bundle.records import ArtifactKind, Verdict, WeightsRecord
from oakpoint.images.preprocess import Preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class _Artifact:
    """An artefact as schema 1 tells of it: one input, and what becomes of an image beside it."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    kind: ArtifactKind
    files: dict[str, str]
    inputs: tuple[TensorSpec]
    outputs: tuple[TensorSpec, ...]
    preprocess: Preprocess
    parents: tuple[str, ...]
    tool: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    """Everything that a bundle of schema 1 says of itself."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    schema_version: Literal[1]
    oakpoint_version: str
    network: str
    weights: WeightsRecord
    preprocess: Preprocess
    decode: dict[str, Any]
    descriptor_dim: int
    heads: Literal["dense", "heatmap", "normalised", "packed", "reduced", "rtabmap"]
    shaves: int | None
    artifacts: tuple[_Artifact, ...]
    verdicts: dict[str, Verdict]
    not_made: dict[str, str] = field(default_factory=dict)
    descriptor_scale: float | None = None
    descriptor_values: int | None = None
    failure: str | None = None
    files: dict[str, str] = field(default_factory=dict)


@cache  # making one takes a while, and few bundles are that old
def _schema() -> TypeAdapter[_Manifest]:
    return TypeAdapter(_Manifest)


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a manifest of schema 1 as one of schema 2.

    Args:
        content: as read from JSON.

    Raises:
        pydantic.ValidationError, UsageError: it is none; names are those of schema 1.
    """
    old = _schema().validate_python(content)
    artifacts = [_artifact(artifact) for artifact in old.artifacts]
    host = next((artifact["interface"] for artifact in artifacts if artifact["kind"] == "onnx"), None)
    measured = {"descriptor_scale": old.descriptor_scale, "descriptor_values": old.descriptor_values}
    return {
        "schema_version": 2,
        "oakpoint_version": old.oakpoint_version,
        "network": old.network,
        "weights": old.weights,
        "task": {"name": "keypoints", "parameters": {"decode": old.decode, "descriptor_dim": old.descriptor_dim}},
        "interface": host or {"inputs": [_grey_input(old.preprocess)], "outputs": []},
        "device": {
            "heads": old.heads,
            "measured": {name: value for name, value in measured.items() if value is not None},
            "shaves": old.shaves,
            "rewrites": [],
        },
        "artifacts": artifacts,
        "verdicts": old.verdicts,
        "not_made": old.not_made,
        "failure": old.failure,
        "files": old.files,
    }


def _artifact(old: _Artifact) -> dict[str, Any]:
    return {
        "kind": old.kind,
        "files": old.files,
        "interface": {
            "inputs": [{"tensor": old.inputs[0], "preprocess": old.preprocess}],
            "outputs": old.outputs,
        },
        "parents": old.parents,
        "tool": old.tool,
        "command": old.command,
    }


def _grey_input(preprocess: Preprocess) -> dict[str, Any]:
    width, height = preprocess.size
    return {"tensor": TensorSpec("input", "float32", (OPEN_BATCH, 1, height, width)), "preprocess": preprocess}
