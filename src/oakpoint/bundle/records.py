"""What a manifest records: tensors, artefacts, weights, verdicts. Plain frozen dataclasses, no I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Literal, NoReturn

from oakpoint.bundle.interface import Interface
from oakpoint.finite import finite_or_none

ArtifactKind = Literal[
    "onnx",
    "ir",
    "ir_int8",
    "fused",
    "blob",
    "oak_json",
    "stage_map",
    "archive",
    "superblob",
    "onnx_archive",
    "device_part",
    "host_tail",
]


class Verdict(Enum):
    """What a comparison came to. It has no truth value: «nothing compared» is neither good nor bad by itself."""

    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    NOTHING_COMPARED = "nothing compared"

    def __bool__(self) -> NoReturn:
        raise TypeError("a Verdict has no truth value: compare it with Verdict.PASS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One result of the chain.

    Attributes:
        kind: which stage made it.
        files: file name within the bundle → sha256; the first is the one to open.
        interface: what it takes and gives, and what of the preprocessing is inside the graph.
        parents: sha256 of the files it was made from.
        tool: the tool that made it, with its version.
        command: how that tool was called.

    Raises:
        ValueError: no files.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    kind: ArtifactKind
    files: dict[str, str]
    interface: Interface
    parents: tuple[str, ...]
    tool: str
    command: str

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("files: expected at least one")

    @property
    def main_file(self) -> str:
        """Name of the file to open."""
        return next(iter(self.files))


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A rewrite that changed something on the way to the device graph.

    Attributes:
        rewrite: its name.
        layers: the layers that it touched, as the network names them.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    rewrite: str
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """What the outputs of a network mean, as far as anyone knows.

    Attributes:
        name: of the task, one of ``tasks.registry.TASKS``.
        parameters: what the task needs to know of this network, in its own words.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    name: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """What was asked for and measured for the device graph.

    Attributes:
        heads: the form of its outputs, one of the task's.
        measured: what these heads had to know of the network, by name; empty for most.
        shaves: SHAVE cores the blob was compiled for; None without a blob.
        rewrites: what was done to the host's model, in order.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    heads: str = "dense"
    measured: dict[str, float | int] = field(default_factory=dict)
    shaves: int | None = None
    rewrites: tuple[Applied, ...] = ()


def ms_text(milliseconds: float) -> str:
    """A measured time in words."""
    return f"{milliseconds:.1f} ms" if milliseconds >= _SHORTEST_MS else f"under {_SHORTEST_MS} ms"


_SHORTEST_MS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRecord:
    """Where a network was cut, and what that costs: the blob is its first part, and the host does the rest.

    Attributes:
        asked: what was asked for: ``auto``, or the names behind which it is cut.
        crossing: tensors that the host's tail reads of what the device gives.
        finished: outputs of the network that the device gives.
        device_layers: layers on the device.
        host_layers: layers of the tail.
        refused: layers that the device does not take, each with the reason, as far as they were looked for.
        runtime: what runs the tail on the host.
        usb_bytes: from the device to the host, for each frame.
        device_ms: time of the blob on one engine of the chip, estimated (``myriad.cost``); None without a blob.
        host_ms: time of the tail, measured where it was converted.
        notes: what else is to be said.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    asked: tuple[str, ...]
    crossing: tuple[str, ...]
    finished: tuple[str, ...] = ()
    device_layers: int
    host_layers: int
    refused: dict[str, str] = field(default_factory=dict)
    runtime: str = "onnxruntime"
    usb_bytes: int = 0
    device_ms: float | None = None
    host_ms: float | None = None
    notes: tuple[str, ...] = ()

    def price(self) -> str:
        """What it costs, in one line."""
        device = "" if self.device_ms is None else f"device about {self.device_ms:.1f} ms (estimated), "
        host = "" if self.host_ms is None else f", host {ms_text(self.host_ms)} (measured here, {self.runtime})"
        return f"{device}{self.usb_bytes:,} bytes a frame over USB{host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Record:
    """How the INT8 model came about.

    Attributes:
        calibration: names of the images that calibrated it → sha256 of their pixels.
        held_out: names of the images on which it was judged, none of which calibrated it.
        figure: what of the task's was not to be lost.
        bound: how much of it may be lost.
        first_loss: how much was lost with every layer in INT8, on the images that calibrated it.
        loss: how much is lost as it is, on the same.
        layers: how many layers can be computed in INT8.
        in_float: layers that are kept in float → how much was lost when this one alone was.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    calibration: dict[str, str]
    held_out: tuple[str, ...] = ()
    figure: str
    bound: float
    first_loss: float
    loss: float
    layers: int
    in_float: dict[str, float] = field(default_factory=dict)

    def summary(self) -> str:
        """What is in INT8 and what is not, in one line."""
        kept = f", {len(self.in_float)} kept in float" if self.in_float else ""
        return f"{self.layers - len(self.in_float)} of {self.layers} layers in INT8{kept}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsRecord:
    """Which weights a bundle was made from.

    Attributes:
        file: name of the weights file; None for a random initialisation or a network that came as ONNX.
        sha256: of that file.
        name: what the weights are known as, ``unknown`` where they are not.
        licence: their licence as far as known.
        origin: where they come from as far as known.
        trained: False for a random initialisation, whose results mean nothing.
        seed: of the random initialisation.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    file: str | None
    sha256: str | None
    name: str
    licence: str
    origin: str
    trained: bool = True
    seed: int | None = None

    def description(self) -> str:
        """The weights in one line."""
        return f"{self.name}; licence: {self.licence}; {self.origin}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure of a comparison, held against its tolerance.

    Attributes:
        name: what was measured.
        value: the figure; NaN where it could not be measured, which never passes.
        limit: the tolerance.
        kind: ``at_least`` or ``at_most`` the limit.
        passed: the comparison's outcome.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    name: str
    value: float
    limit: float
    kind: Literal["at_least", "at_most"]
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What came of comparing one stage of the chain with the one before it.

    Attributes:
        stage: ``torch → onnx`` and so on.
        verdict: PASS, FAIL or NOTHING_COMPARED.
        summary: one line for a person.
        images: how many images were compared.
        checks: figures that have a tolerance.
        figures: further figures, without one.
        claim: what a pass of this stage means and what it does not, where that needs saying.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    stage: str
    verdict: Verdict
    summary: str
    images: int = 0
    checks: tuple[Check, ...] = ()
    figures: dict[str, float] | None = None
    claim: str = ""

    def facts(self) -> dict[str, object]:
        """The same for machines; figures and limits that could not be measured, or are infinite, are None."""
        return {
            "stage": self.stage,
            "verdict": self.verdict.value,
            "summary": self.summary,
            "images": self.images,
            "claim": self.claim,
            "checks": [
                asdict(check) | {"value": finite_or_none(check.value), "limit": finite_or_none(check.limit)}
                for check in self.checks
            ],
            "figures": {name: finite_or_none(value) for name, value in (self.figures or {}).items()},
        }
