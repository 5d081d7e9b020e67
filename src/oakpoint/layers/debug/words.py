"""What a walk along a bundle's chain comes to, in words for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.layers.debug.errors import LayerError
from oakpoint.layers.debug.report import ArrowReport, Outcome

Weight = Literal["fault", "warning", "plain", "faint"]

OUTCOMES: Final[dict[Outcome, tuple[Weight, str]]] = {
    "layer": ("fault", "a layer is at fault"),
    "constants": ("fault", "constants were altered"),
    "outputs": ("fault", "other outputs"),
    "accumulated": ("warning", "no layer is at fault; small errors add up"),
    "damaged": ("fault", "a file is damaged"),
    "fine": ("plain", "every layer gives what it should"),
    "not compared": ("warning", "not compared"),
}
"""What an arrow came to; how bad that is, and in words."""

HEADINGS: Final = ("own error", "largest", "rounding", "grown to")
"""Of a layer's four numbers; see ``four_numbers``."""

MOST_UNSEEN: Final = 4


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that is to be said: of what, what, and how bad that is; ``subject`` may be empty."""

    subject: str
    text: str
    weight: Weight = "plain"


def said_of(arrow: ArrowReport) -> list[Said]:
    """What is to be said of an arrow beside a table of its layers."""
    if arrow.damaged or arrow.not_compared:
        return [Said("", arrow.damaged or arrow.not_compared)]
    found = []
    if arrow.first is not None:
        found.append(Said(arrow.called(arrow.first), arrow.cause))
    if (region := arrow.region) is not None:
        left, top, right, bottom = region.box
        text = (
            f"worst in {region.image}, pixels {left} to {right} across and {top} to {bottom} down: channel "
            f"{region.channel} has {region.got:.4g} where {region.expected:.4g} is expected"
        )
        found.append(Said("", text))
    found += [Said(constant.layer or "a constant", constant.text, "fault") for constant in arrow.altered]
    found += [Said("", arrow.outputs, "fault")] if arrow.outputs else []
    found += [Said("", text, "warning") for text in arrow.accumulated]
    if arrow.first_not_finite:
        found.append(Said("", f"what it is compared with is not finite itself, first in {arrow.first_not_finite}"))
    if arrow.unseen:
        more = f" and {len(arrow.unseen) - MOST_UNSEEN} more" if len(arrow.unseen) > MOST_UNSEEN else ""
        names = ", ".join(arrow.unseen[:MOST_UNSEEN]) + more
        found.append(Said("", f"not seen by themselves: {names}", "faint"))
    return found


def fault_of(arrow: ArrowReport) -> Said:
    """What is wrong in an arrow, in a line; its subject is the layer or the constant, where that is known."""
    shown = ARROWS[arrow.stage].shown
    if arrow.first is not None:
        return Said(arrow.called(arrow.first), f"{shown}: {arrow.cause}", "fault")
    if arrow.altered:
        return Said(arrow.altered[0].layer or "a constant", f"{shown}: {arrow.altered[0].text}", "fault")
    return Said("", f"{shown}: {arrow.damaged or arrow.outputs or '; '.join(arrow.accumulated)}")


def four_numbers(error: LayerError) -> tuple[str, str, str, str]:
    """A layer's numbers under ``HEADINGS``, as shares of its values."""
    own, rounding, grown = error.own, error.rounding, error.grown
    return (
        _number(own.mean_square),
        _number(own.largest),
        _number(rounding.mean_square),
        _number(grown.mean_square),
    )


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "0" if value == 0 else "∞" if math.isinf(value) else f"{value:.1e}"
