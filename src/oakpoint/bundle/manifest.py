"""The manifest: what a bundle holds, from what it was made and what was proved of it; read and written as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from oakpoint.bundle.records import Artifact, ArtifactKind, HeadsName, StageReport, Verdict, WeightsRecord
from oakpoint.errors import BundleError, UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.images.preprocess import Preprocess

SCHEMA_VERSION = 1

MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that a bundle says of itself.

    Attributes:
        schema_version: of this layout; another one is not read.
        oakpoint_version: of the program that made the bundle.
        network: the network's name as given to ``convert``.
        weights: which weights, with hash, licence and origin.
        preprocess: how an image becomes the host models' input tensor.
        decode: how outputs become keypoints.
        descriptor_dim: D, the length of a descriptor.
        heads: what the device graph puts out.
        descriptor_scale: factor on the device's descriptors, for heads that normalise them there; None for others.
        descriptor_values: how many values the device's descriptors have, for heads that reduce them; None for others.
        shaves: SHAVE cores the blob was compiled for; None without a blob.
        artifacts: the results, each with the hashes of its files.
        verdicts: stage → verdict at the time of conversion.
        not_made: artefact kind → why it is not there.
        failure: why the conversion that made this did not come to its end, or left something out; None where it did.
        files: further files of the bundle → sha256.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    schema_version: int = SCHEMA_VERSION
    oakpoint_version: str
    network: str
    weights: WeightsRecord
    preprocess: Preprocess
    decode: DecodeOptions
    descriptor_dim: int
    heads: HeadsName
    shaves: int | None
    artifacts: tuple[Artifact, ...]
    verdicts: dict[str, Verdict]
    not_made: dict[str, str] = field(default_factory=dict)
    failure: str | None = None
    descriptor_scale: float | None = None
    descriptor_values: int | None = None
    files: dict[str, str] = field(default_factory=dict)

    def artifact(self, kind: ArtifactKind) -> Artifact:
        """The artefact of a kind.

        Raises:
            BundleError: the bundle has none; the message says why and what it has.
        """
        for artifact in self.artifacts:
            if artifact.kind == kind:
                return artifact
        option = "--superblob" if kind == "superblob" else f"--to {'blob' if kind == 'oak_json' else kind}"
        reason = self.not_made.get(kind, f"it was converted without that stage; convert again with {option}")
        there = ", ".join(artifact.kind for artifact in self.artifacts) or "nothing"
        raise BundleError(f"this bundle has no {kind} ({reason}); it has {there}")

    def has(self, kind: ArtifactKind) -> bool:
        """Whether the bundle has an artefact of this kind."""
        return any(artifact.kind == kind for artifact in self.artifacts)

    def hashes(self) -> dict[str, str]:
        """File name → sha256 for every file but the manifest itself."""
        return {name: sha for artifact in self.artifacts for name, sha in artifact.files.items()} | self.files


_MANIFEST = TypeAdapter(Manifest)
_REPORT = TypeAdapter(tuple[StageReport, ...])


def manifest_json(manifest: Manifest) -> str:
    """The manifest as indented JSON, ending in a newline; of a whole bundle earlier versions can read it, too."""
    unknown_earlier = {"failure"} if manifest.failure is None else None
    return _MANIFEST.dump_json(manifest, indent=2, exclude=unknown_earlier).decode() + "\n"


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
        manifest = _MANIFEST.validate_json(text)
    except (ValidationError, ValueError, UsageError) as error:
        raise BundleError(f"{path}: not a valid manifest: {_first_problem(error)}") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise BundleError(
            f"{path}: expected schema version {SCHEMA_VERSION}, got {manifest.schema_version}; convert again"
        )
    return manifest


def report_json(reports: tuple[StageReport, ...]) -> str:
    """The stage reports as indented JSON, ending in a newline."""
    return _REPORT.dump_json(reports, indent=2).decode() + "\n"


def _first_problem(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
