"""What is said of each layer of a network on a target, and of the network as a whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from oakpoint.layers.check.ranges import Range
from oakpoint.layers.names import Layer

Kind = Literal["refused", "untried", "caveat", "rewritten", "taken"]
"""The verdicts, worst first."""

KINDS: tuple[Kind, ...] = ("refused", "untried", "caveat", "rewritten", "taken")

EXIT_TAKEN, EXIT_REFUSED, EXIT_UNTRIED = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerVerdict:
    """What comes of one layer.

    Attributes:
        layer: the layer.
        kind: the verdict.
        problem: why it is refused or could not be tried.
        remedies: what to do about it.
        rewrites: what was done for it to be taken, each with how exact it is.
        caveats: what may go wrong although it is taken.
        numbers: what it gives on images; None where that was not measured.
        cut_bytes: of a refused layer, what goes over USB for each frame where the network is cut before it; None where
            it cannot be.
        host_ms: of a refused layer, what the rest then takes on this machine, measured; None where that was not.
    """

    layer: Layer
    kind: Kind
    problem: str = ""
    remedies: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    numbers: Range | None = None
    cut_bytes: int | None = None
    host_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstInfinity:
    """Where FP16 would first make an infinity of a finite number, in the order of execution.

    Attributes:
        layer: of the user's network.
        tensor: of the device graph.
        largest: its largest magnitude on the images.
    """

    layer: Layer
    tensor: str
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The verdicts on a network.

    Attributes:
        model: its name.
        target: what it was checked for.
        heads: what the blob puts out; empty for other targets.
        layers: all of them, in the order of execution; those that heads add come last.
        first_infinity: where FP16 overflows first; None where it does not, or nothing was measured.
        squared_norms: largest squared norms of the task's vectors, by the name of the output.
        cut_bytes: what goes over USB for each frame where the network is cut before all refused layers; None where
            nothing is refused, or nothing is left.
        host_ms: what the rest then takes on this machine, measured; None where that was not.
        images: how many the numbers were measured on.
        trials: how many times the target was asked, without what was known from before.
        untried: why the target could not be asked; empty where it was.
        notes: what else is to be said.
    """

    model: str
    target: str
    heads: str = ""
    layers: tuple[LayerVerdict, ...]
    first_infinity: FirstInfinity | None = None
    squared_norms: Mapping[str, float] = field(default_factory=dict)
    cut_bytes: int | None = None
    host_ms: float | None = None
    images: int = 0
    trials: int = 0
    untried: str = ""
    notes: tuple[str, ...] = ()

    def of_kind(self, kind: Kind) -> tuple[LayerVerdict, ...]:
        """The layers with a verdict."""
        return tuple(verdict for verdict in self.layers if verdict.kind == kind)

    @property
    def exit_code(self) -> int:
        """0: all is taken; 1: a layer is not; 2: none was refused, and not all could be tried."""
        if self.of_kind("refused"):
            return EXIT_REFUSED
        return EXIT_UNTRIED if self.untried or self.of_kind("untried") else EXIT_TAKEN

    def facts(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            **dataclasses.asdict(self),
            "layers": [dataclasses.asdict(verdict) for verdict in self.layers],
            "counts": {kind: len(self.of_kind(kind)) for kind in KINDS},
            "exit_code": self.exit_code,
        }
