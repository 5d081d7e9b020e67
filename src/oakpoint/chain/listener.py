"""Who is told of a conversion's steps."""

from __future__ import annotations

from typing import Protocol

from oakpoint.bundle.records import StageReport


class Listener(Protocol):
    """Told of each step, for a progress display."""

    def started(self, step: str) -> None:
        """A step begins."""

    def finished(self, step: str, seconds: float, note: str, report: StageReport | None) -> None:
        """A step ended; ``note`` says what came of it, and ``report`` is there when it was a comparison."""
