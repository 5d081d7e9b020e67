"""Figures over all frames of a run, gathered as they come; holds no images."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oakpoint.run.frames import TrackedFrame
from oakpoint.view.results.base import Summary
from oakpoint.view.results.registry import view_of


@dataclass(slots=True)
class RunSummary:
    """Figures over all frames of a run.

    Attributes:
        clock: seconds, monotonic.
        frames: how many were counted.
        found: figures of what was found; None before the first frame.
        kind: the name of what was found, likewise.
    """

    clock: Callable[[], float] = time.perf_counter
    frames: int = 0
    found: Summary[Any] | None = None
    kind: str | None = None
    seconds: array[float] = field(default_factory=lambda: array("d"))
    first_s: float = 0.0
    last_s: float = 0.0

    def add(self, frame: TrackedFrame) -> None:
        """Count one frame, when all that is done with it is done."""
        self.last_s = self.clock()
        self.first_s = self.first_s if self.frames else self.last_s
        self.frames += 1
        if self.found is None:
            view = view_of(frame.result)
            self.found, self.kind = view.summary(), view.name
        self.found.add(frame.result, frame.tracks)
        self.seconds.append(frame.seconds)

    def facts(self) -> dict[str, Any]:
        """What was found, the rate overall, and the median time to find and follow.

        The first frame, which loads the model, counts with neither of the two.
        """
        timed = self.seconds[1:] or self.seconds
        span_s = self.last_s - self.first_s
        return {
            "frames": self.frames,
            "found": self.kind,
            **(self.found.facts(self.frames) if self.found is not None else {}),
            "rate_fps": (self.frames - 1) / span_s if span_s > 0 else None,
            "milliseconds_median": 1e3 * float(np.median(timed)) if timed else None,
        }
