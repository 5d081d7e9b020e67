"""The manifest: what a bundle holds, from what it was made and what was proved of it; read and written as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from oakpoint.bundle.interface import Interface
from oakpoint.bundle.records import (
    Artifact,
    ArtifactKind,
    DeviceRecord,
    Int8Record,
    SplitRecord,
    StageReport,
    TaskRecord,
    Verdict,
    WeightsRecord,
)
from oakpoint.bundle.schema1 import upgraded
from oakpoint.errors import BundleError, UsageError, first_line
from oakpoint.images.preprocess import Preprocess

SCHEMA_VERSION: Literal[2] = 2

MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"

_OPTIONS: dict[ArtifactKind, str] = {
    "superblob": "--superblob",
    "ir_int8": "--int8",
    "fused": "--fused",
    "oak_json": "--to blob",
    "stage_map": "--to blob",
    "onnx_archive": "--to onnx-archive",
    "device_part": "--split auto",
    "host_tail": "--split auto",
}
"""What makes an artefact whose kind is no target of a conversion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a bundle says of itself.

    Attributes:
        schema_version: of this layout; those of ``schema1`` are read as well.
        oakpoint_version: of the program that made the bundle.
        network: the network's name as given to ``convert``.
        weights: which weights, with hash, licence and origin.
        task: what the outputs mean.
        interface: what the host models take and give.
        device: what was asked for and measured for the device graph.
        artifacts: the results, each with the hashes of its files.
        verdicts: stage → verdict at the time of conversion.
        not_made: artefact kind → why it is not there.
        failure: why the conversion that made this did not come to its end, or left something out; None where it did.
        files: further files of the bundle → sha256.
        arguments: what the class of a torch network was given.
        outputs: name of an output → the torch network's own name for it; empty where it gives them in this order.
        split: where the network is cut, of which the blob is the first part; None where the blob is all of it.
        int8: how the INT8 model came about; None where there is none.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    schema_version: Literal[2] = SCHEMA_VERSION
    oakpoint_version: str
    network: str
    weights: WeightsRecord
    task: TaskRecord
    interface: Interface
    device: DeviceRecord
    artifacts: tuple[Artifact, ...]
    verdicts: dict[str, Verdict]
    not_made: dict[str, str] = field(default_factory=dict)
    failure: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    split: SplitRecord | None = None
    int8: Int8Record | None = None

    @property
    def torch_outputs(self) -> dict[str, str] | tuple[str, ...]:
        """Which outputs of the torch network are those of the ONNX, see ``networks.outputs.chosen_outputs``."""
        return self.outputs or tuple(spec.name for spec in self.interface.outputs)

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes the host models' input.

        Raises:
            UsageError: the network takes no image.
        """
        return self.interface.image

    def artifact(self, kind: ArtifactKind) -> Artifact:
        """The artefact of a kind.

        Raises:
            BundleError: the bundle has none; the message says why and what it has.
        """
        for artifact in self.artifacts:
            if artifact.kind == kind:
                return artifact
        option = _OPTIONS.get(kind, f"--to {kind}")
        reason = self.not_made.get(kind, f"it was converted without that stage; convert again with {option}")
        there = ", ".join(artifact.kind for artifact in self.artifacts) or "nothing"
        raise BundleError(f"this bundle has no {kind} ({reason}); it has {there}")

    def has(self, kind: ArtifactKind) -> bool:
        """Whether the bundle has an artefact of this kind."""
        return any(artifact.kind == kind for artifact in self.artifacts)

    def hashes(self) -> dict[str, str]:
        """File name → sha256 for every file but the manifest itself."""
        return {name: sha for artifact in self.artifacts for name, sha in artifact.files.items()} | self.files


@cache  # making one takes a while, and is for naught where no bundle is read
def _manifest_schema() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


@cache
def _report_schema() -> TypeAdapter[tuple[StageReport, ...]]:
    return TypeAdapter(tuple[StageReport, ...])


def manifest_json(manifest: Manifest) -> str:
    """The manifest as indented JSON, ending in a newline."""
    optional = {"split": manifest.split, "int8": manifest.int8}
    left_out = {name for name, record in optional.items() if record is None}  # earlier programs read what has none
    return _manifest_schema().dump_json(manifest, indent=2, exclude=left_out).decode() + "\n"


def read_manifest(path: Path) -> Manifest:
    """Read and validate a manifest file.

    Raises:
        BundleError: missing, no valid manifest, or of another schema version.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); expected the manifest of a bundle") from error
    try:
        content = json.loads(text)
        version = content.get("schema_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version not in (1, SCHEMA_VERSION):
            raise BundleError(f"{path}: expected schema version {SCHEMA_VERSION} or 1, got {version}; convert again")
        return _manifest_schema().validate_python(upgraded(content) if version == 1 else content)
    except (ValidationError, ValueError, UsageError, RecursionError) as error:
        raise BundleError(f"{path}: not a valid manifest: {_first_problem(error)}") from error


def report_json(reports: tuple[StageReport, ...]) -> str:
    """The stage reports as indented JSON, ending in a newline."""
    return _report_schema().dump_json(reports, indent=2).decode() + "\n"


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return first_line(error)
