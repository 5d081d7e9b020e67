"""What came of walking a bundle's chain layer by layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oakpoint.layers.debug.errors import LayerError
from oakpoint.layers.debug.regions import Region, region_facts

Outcome = Literal["layer", "constants", "outputs", "accumulated", "damaged", "fine", "not compared"]

EXIT_FINE, EXIT_FOUND, EXIT_NOTHING = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AlteredConstant:
    """A constant that is not what it should be.

    Attributes:
        layer: what the layer that takes it is called; empty where that is not known.
        text: which constant, and how much of it.
    """

    layer: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowReport:
    """One arrow of the chain.

    Attributes:
        stage: its name.
        errors: of every tensor that both forms have, in the order of execution.
        first: the first layer that does more than rounding explains; None where none does.
        cause: what its error looks like.
        region: where in the image it is most wrong; None where its output is no map.
        altered: constants that are not what they should be.
        outputs: what is wrong with names and shapes of the outputs; empty for nothing.
        accumulated: the outputs that are off by more than the stage may be although no layer is at fault.
        first_not_finite: the first layer whose output is not finite in the reference already; empty for none.
        unseen: names of the user's layers of which no tensor was compared.
        not_compared: why the arrow was not walked; empty where it was.
        damaged: what is wrong with a file that could not be read therefore; empty for nothing.
    """

    stage: str
    errors: tuple[LayerError, ...] = ()
    first: LayerError | None = None
    cause: str = ""
    region: Region | None = None
    altered: tuple[AlteredConstant, ...] = ()
    outputs: str = ""
    accumulated: tuple[str, ...] = ()
    first_not_finite: str = ""
    unseen: tuple[str, ...] = ()
    not_compared: str = ""
    damaged: str = ""

    def called(self, error: LayerError) -> str:
        """What one of the layers is called for people, told from others of that name by its tensor's."""
        alike = sum(other.shown == error.shown for other in self.errors)
        return f"{error.shown} ({error.tensor})" if alike > 1 else error.shown

    @property
    def outcome(self) -> Outcome:
        """The verdict in a word."""
        if self.damaged:
            return "damaged"
        if self.not_compared:
            return "not compared"
        if self.first is not None:
            return "layer"
        if self.altered:
            return "constants"
        if self.outputs:
            return "outputs"
        return "accumulated" if self.accumulated else "fine"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugReport:
    """The whole chain.

    Attributes:
        bundle: its folder.
        network: its name.
        images: names of the images that it was run on.
        arrows: in the order of the chain.
        notes: what else is to be said.
    """

    bundle: str
    network: str
    images: tuple[str, ...]
    arrows: tuple[ArrowReport, ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> ArrowReport | None:
        """The first arrow in which something is wrong."""
        return next((arrow for arrow in self.arrows if arrow.outcome not in ("fine", "not compared")), None)

    @property
    def exit_code(self) -> int:
        """0: nothing is wrong; 1: something is; 2: no arrow could be walked."""
        if self.first is not None:
            return EXIT_FOUND
        return EXIT_FINE if any(arrow.outcome == "fine" for arrow in self.arrows) else EXIT_NOTHING

    def facts(self) -> dict[str, Any]:
        """The same for machines; what was not measured is None."""
        first = self.first
        return {
            "bundle": self.bundle,
            "network": self.network,
            "images": list(self.images),
            "first": None if first is None else _where(first),
            "arrows": [_plain(_arrow_facts(arrow)) for arrow in self.arrows],
            "notes": list(self.notes),
            "exit_code": self.exit_code,
        }


def _where(arrow: ArrowReport) -> dict[str, Any]:
    layer = arrow.called(arrow.first) if arrow.first is not None else arrow.altered[0].layer if arrow.altered else None
    return {"stage": arrow.stage, "outcome": arrow.outcome, "layer": layer, "cause": arrow.cause}


def _arrow_facts(arrow: ArrowReport) -> dict[str, Any]:
    facts = {field.name: getattr(arrow, field.name) for field in dataclasses.fields(arrow)}
    facts["outcome"] = arrow.outcome
    facts["region"] = None if arrow.region is None else region_facts(arrow.region)
    facts["altered"] = [dataclasses.asdict(constant) for constant in arrow.altered]
    facts["errors"] = [
        {**dataclasses.asdict(error), "shown": error.shown, "operators": error.operators} for error in arrow.errors
    ]
    facts["first"] = None if arrow.first is None else arrow.first.tensor
    return facts


def _plain(value: Any) -> Any:
    """Values that JSON has: no not-a-number; what is infinite as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
