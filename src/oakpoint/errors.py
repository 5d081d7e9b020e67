"""The one error tree.

OakpointError                what a user can act on; the command line prints it as one line
├── UsageError               an option or argument that cannot be meant: unknown name, impossible size
├── MissingExtraError        an optional runtime is not installed; the message names the extra
├── ImageError               an image or video cannot be read, or has the wrong shape or type
├── FeaturesError            arrays that are not valid features, or a features file that cannot be used
├── DataError                a run's data: a file that is damaged or of another schema, or values that none holds
├── WeightsError             a weights file: unsafe, truncated, misshapen, of another network
├── BundleError              a bundle: missing, altered, half written, of another version
├── BlobError                a blob: truncated, corrupted, of another format
│   └── NotModelledError     a whole blob with a stage that the simulator does not model
├── StageMapError            what is said of a blob's stages and tensors does not fit it, or cannot be read
├── BackendError             a runtime cannot be imported, or cannot load or run a model as it was asked to
│   └── NotExecutableError   the model is whole, and the runtime lacks a way to run a part of it
├── DeviceError              a camera is not there, not permitted, in use, or not of the kind that is needed
│   └── DeviceLostError      a camera that was running is gone, or sends nothing more
├── VerificationError        two stages of the chain do not agree
├── TrainingError            training went astray: a loss that is not finite
├── OutputError              a result cannot be written where it was asked for
└── ConversionError          a stage of the chain failed
    ├── UnsupportedNetworkError    layers that the target does not take, each with what to do about it
    ├── CompilerUnavailableError   the Myriad compiler cannot be had on this machine
    └── CompilerError              the Myriad compiler refused the network

Foreign errors are translated once, at the boundary where they arise, with ``raise … from``. A message says what was
expected, what came, and what to do next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


def first_line(error: BaseException, *, passing_over: tuple[str, ...] = ()) -> str:
    """What a foreign error says first, at most 300 characters of it; its type's name where it says nothing.

    Args:
        error: the error.
        passing_over: beginnings of lines that say nothing, as long as another one does.
    """
    return _spoken(error, passing_over)[0][:300]


def last_line(error: BaseException, *, passing_over: tuple[str, ...] = ()) -> str:
    """What a foreign error says last, which is what those who report where they were say; as ``first_line`` else."""
    return _spoken(error, passing_over)[-1][:300]


def _spoken(error: BaseException, passing_over: tuple[str, ...]) -> list[str]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(passing_over)]
    return told or lines or [type(error).__name__]


@contextlib.contextmanager
def naming(path: Path | str, name: str) -> Iterator[None]:
    """Let errors out of the block say ``name`` where they would name a temporary path, gone when they are read."""
    try:
        yield
    except OakpointError as error:
        error.args = tuple(part.replace(str(path), name) if isinstance(part, str) else part for part in error.args)
        raise


def line_about(name: str, reason: str) -> str:
    """Why something was left out, in one line that names it once."""
    return reason if name in reason else f"{name}: {reason}"


class OakpointError(Exception):
    """Base of all errors that oakpoint raises for a user to act on."""


class UsageError(OakpointError):
    """An argument that cannot be meant: an unknown name, an impossible size, a contradiction."""


class MissingExtraError(OakpointError):
    """An optional runtime is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: run  pip install 'oakpoint[{extra}]'")
        self.package = package
        self.extra = extra


class ImageError(OakpointError):
    """An image or video cannot be read, or has the wrong shape or type."""


class FeaturesError(OakpointError):
    """Arrays that are not valid features, or a features file that cannot be used."""


class DataError(OakpointError):
    """A file of what a run found is missing, damaged or of another schema; or values that no such file holds."""


class WeightsError(OakpointError):
    """A weights file is unsafe, truncated, misshapen or of another network."""


class BundleError(OakpointError):
    """A bundle is missing, altered, half written or of another version."""


class BlobError(OakpointError):
    """A blob is truncated, corrupted or of another format."""


class NotModelledError(BlobError):
    """A blob is whole, and has a stage that the simulator does not model: nothing is guessed."""


class StageMapError(OakpointError):
    """What is said of a blob's stages and tensors does not fit the blob, or cannot be read."""


class BackendError(OakpointError):
    """A runtime cannot be imported, or cannot load or run a model on the device and at the precision asked for."""


class NotExecutableError(BackendError):
    """A model is whole, and the runtime lacks a way to run a part of it: it says nothing of the model."""


class DeviceError(OakpointError):
    """A camera is not there, not permitted, in use elsewhere, or not of the kind that is needed."""


class DeviceLostError(DeviceError):
    """A camera that was running is gone, or sends nothing more."""


class VerificationError(OakpointError):
    """Two stages of the chain do not agree within the tolerances."""


class TrainingError(OakpointError):
    """Training went astray."""


class OutputError(OakpointError):
    """A result cannot be written where it was asked for."""


class ConversionError(OakpointError):
    """A stage of the conversion chain failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a layer that a user has to know before the network goes to the device.

    Attributes:
        layer: its name, or that of its first output.
        operator: its type, as ONNX names it.
        problem: what is wrong with it on the target, in a clause.
        remedy: what to do about it, in a clause; empty where nothing helps.
    """

    layer: str
    operator: str
    problem: str
    remedy: str = ""

    def __str__(self) -> str:
        """In one line."""
        return f"layer {self.layer!r} ({self.operator}): {self.problem}" + (f"; {self.remedy}" if self.remedy else "")


MAX_NAMED_LAYERS = 3
"""In a message about layers of one kind; all of them stand in the error's findings."""


def _grouped(findings: Sequence[Finding]) -> Iterator[str]:
    """One line for what is the same about several layers of one operator."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.operator, finding.problem, finding.remedy), []).append(finding)
    for alike in groups.values():
        if len(alike) == 1:
            yield str(alike[0])
            continue
        names = ", ".join(repr(finding.layer) for finding in alike[:MAX_NAMED_LAYERS])
        more = f" and {len(alike) - MAX_NAMED_LAYERS} more" if len(alike) > MAX_NAMED_LAYERS else ""
        first = alike[0]
        yield f"layers {names}{more} ({first.operator}): {first.problem}" + (
            f"; {first.remedy}" if first.remedy else ""
        )


class UnsupportedNetworkError(ConversionError):
    """Layers that the target does not take.

    Attributes:
        findings: all of them, at least one.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(";\n".join(_grouped(findings)))  # where it is shown in one line, they are still told apart
        self.findings = tuple(findings)


class CompilerUnavailableError(ConversionError):
    """The Myriad compiler cannot be had on this machine."""


class CompilerError(ConversionError):
    """The Myriad compiler refused the network."""
