"""What is said of a cut before a refused layer: bytes over USB, and the host's time for the rest."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from oakpoint.bundle.records import ms_text
from oakpoint.layers.check.device import DeviceCheck
from oakpoint.layers.check.verdicts import LayerVerdict
from oakpoint.layers.cuts.prices import LONGEST_S, host_ms_of_model

PRICES_S: Final = 4.0
"""Seconds after which no further cut is measured."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of a cut: bytes over USB for each frame, and milliseconds of the rest on this machine, as far as known."""

    cut_bytes: int | None = None
    host_ms: float | None = None


class Prices:
    """Prices of cuts, measured while there is time.

    Attributes:
        unmeasured: cuts whose time on the host was not measured.
    """

    def __init__(self, check: DeviceCheck) -> None:
        """Take the check whose network is cut; its time begins now."""
        self._check, self._until = check, time.monotonic() + PRICES_S
        self.unmeasured = 0

    def of(self, refused: Collection[int]) -> Price:
        """What a cut before layers costs; nothing is known where nothing is left before them."""
        count = self._check.cut_bytes(refused) if refused else None
        if count is None:
            return Price()
        left = self._until - time.monotonic()
        measured = host_ms_of_model(self._check.tail(refused), longest_s=min(left, LONGEST_S)) if left > 0 else None
        self.unmeasured += measured is None
        return Price(count, measured)

    def said_of(self, verdict: LayerVerdict, place: int) -> LayerVerdict:
        """A layer's verdict; of a refused one, with what a cut before it costs among the remedies."""
        if verdict.kind != "refused":
            return verdict
        price = self.of([place])
        cut = "nothing of the network is left before it: do it on the host, or train without it"
        if price.cut_bytes:
            rest = (
                "the rest on the host"
                if price.host_ms is None
                else f"{ms_text(price.host_ms)} on the host for the rest"
            )
            cut = f"cut the network before it: {price.cut_bytes:,} bytes a frame over USB, and {rest}"
        return replace(verdict, remedies=(*verdict.remedies, cut), cut_bytes=price.cut_bytes, host_ms=price.host_ms)

    def notes(self) -> list[str]:
        """What is to be said of what was not measured."""
        if not self.unmeasured:
            return []
        return [
            f"the host's time was not measured for {self.unmeasured} of the cuts: {PRICES_S:g} s had passed, or no "
            "runtime took the rest"
        ]
