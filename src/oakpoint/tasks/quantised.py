"""What a network loses in coarser arithmetic, in the words of its task: the comparison of the INT8 stage.

The other stages ask whether two models compute the same within rounding. INT8 has 256 steps to a tensor, and the values
differ; what counts is whether what is found is as good. Each task says how much of it is lost (``Task.lost``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError
from oakpoint.tasks.base import Differences, Task
from oakpoint.verify.comparison import Comparison
from oakpoint.verify.tolerances import Tolerance, at_most

DEFAULT_BOUND = 0.01
"""How much of a task's figure INT8 may lose: a hundredth, the customary limit of post-training quantisation (NNCF's
``max_drop`` and MLPerf's 99 % of the reference's accuracy)."""

Views = list[Tensors]
"""What one model gives for one image and its second view."""


@final
@dataclass(slots=True)
class QuantisedComparison(Comparison[Tensors]):
    """Gathers what is lost on each image, and what of the results is in common.

    Attributes:
        task: what the outputs mean.
        bound: how much of its figure may be lost, in the mean over images.
        further: limits on figures that are measured elsewhere.
        told: names of an estimate and of both ends of its interval, which a person is told of in any case; or none.
        why_untold: why that estimate is no number, where it is none.
        images: how many pictures were compared, second views apart.
    """

    task: Task[Any]
    bound: float
    further: tuple[Tolerance, ...] = ()
    told: tuple[str, ...] = ()
    why_untold: str = ""
    images: int = 0
    _lost: list[float] = field(default_factory=list)
    _differences: list[Differences[Any]] = field(default_factory=list)

    def reference(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.reference``."""
        self.task.read(tensors)
        return tensors

    def candidate(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.candidate``."""
        self.task.read(tensors)
        return tensors

    def add(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> None:
        """See ``Comparison.add``."""
        for a, b in zip(expected, got, strict=True):
            _require_same_shapes(a, b)
        self.images += 1
        self._lost.append(self.task.lost(expected, got))
        for pair in zip(expected, got, strict=True):
            found = self.task.differences(*map(self.task.read, pair))
            if found is not None:
                self._differences.append(found)

    def figures(self) -> dict[str, float]:
        """See ``Comparison.figures``."""
        return {
            self.task.loses: mean_lost(self._lost),
            f"{self.task.loses}, of the worst image": max(_known(self._lost), default=float("nan")),
            **self._in_common(),
        }

    def _in_common(self) -> dict[str, float]:
        if not self._differences:
            return {}
        whole = sum(found.common + max(found.missing, found.extra) for found in self._differences)
        share = sum(found.common for found in self._differences) / whole if whole else float("nan")
        return {f"{self._differences[0].unit} in common": share}

    def tolerances(self) -> Sequence[Tolerance]:
        """See ``Comparison.tolerances``."""
        return (at_most(self.task.loses, self.bound, "what was asked for with --int8-loss"), *self.further)

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        hint = "layers that need a finer arithmetic, images unlike those that calibrated it, or too few of them"
        return dict.fromkeys((self.task.loses, *(limit.figure for limit in self.further)), hint)

    def why_nothing(self) -> str | None:
        """See ``Comparison.why_nothing``."""
        return None if _known(self._lost) else "the float network finds nothing that could be lost in these images"

    def success(self, figures: Mapping[str, float]) -> str:
        """See ``Comparison.success``."""
        common = "".join(f", {value:.1%} of the {name}" for name, value in self._in_common().items())
        return (
            f"{self.task.loses} {figures[self.task.loses]:.4f} of {self.bound:g} that may be, on {self.images} images"
            f"{self._further(figures)}{common}"
        )

    def _further(self, figures: Mapping[str, float]) -> str:
        """The estimate that was measured elsewhere, or why there is none."""
        if not self.told:
            return ""
        value, low, high = (figures.get(name, np.nan) for name in self.told)
        if not np.isfinite([value, low, high]).all():
            return f", {self.told[0]} not measured: {self.why_untold}"
        return f", {self.told[0]} {value:.3f} (95 %: {low:.3f} to {high:.3f})"


def _require_same_shapes(expected: Tensors, got: Tensors) -> None:
    shapes, others = ({name: array.shape for name, array in side.items()} for side in (expected, got))
    if shapes != others:
        raise BackendError(f"outputs: expected {shapes}, got {others}")


def mean_lost(lost: Sequence[float]) -> float:
    """The mean of what is lost on each image, of those where there was something; no less than 0.

    On one image the coarser network may be the better one; in the mean that is no gain to boast of.
    """
    known = _known(lost)
    return max(float(np.mean(known)), 0.0) if known else float("nan")


def _known(lost: Sequence[float]) -> list[float]:
    return [value for value in lost if not np.isnan(value)]
