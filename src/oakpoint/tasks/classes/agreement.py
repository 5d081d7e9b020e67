"""How far two classifiers agree on the same images: in their values, and in the classes that they put first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.tasks.after_tensors import AfterTensors, share
from oakpoint.verify.rounding import STANDS_OUT
from oakpoint.verify.tolerances import Tolerance, at_most

Values = NDArray[np.float32]

TOP = 5
LIKELY = 20
"""The classes that may come first, whose errors tell how far rounding goes."""

FP16_STEP = 2.0**-10

UNEXPLAINED = "first classes that rounding does not explain"


@final
class ClassesAgreement(AfterTensors):
    """Top-1 and top-5 in common.

    Two classes are a tie where the reference puts one before the other by no more than rounding turns on that image:
    twice ``STANDS_OUT`` times the root mean square error of its ``LIKELY`` first classes. Values that are
    probabilities are compared by their logarithms, whose errors are of one size.
    """

    def __init__(self, stage: str, values_of: Callable[[Tensors], Values]) -> None:
        """Take the stage, and what reads the values of all classes from the outputs."""
        super().__init__(stage, lambda tensors: tensors)
        self._values_of = values_of
        self._first = self._five = 0.0
        self._tied = self._unexplained = 0

    def reference(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.reference``."""
        self._values_of(tensors)  # refuses other outputs
        return tensors

    candidate = reference

    def add_image(self, expected: Tensors, got: Tensors) -> None:
        """See ``AfterTensors.add_image``."""
        a, b = (_comparable(self._values_of(tensors)) for tensors in (expected, got))
        tie = _tie(a, b)
        best_a, best_b = (np.argsort(-values, kind="stable") for values in (a, b))
        count = min(TOP, len(a) - 1)
        self._first += best_a[0] == best_b[0]
        self._five += len(set(best_a[:count]) & set(best_b[:count])) / count
        self._tied += bool(a[best_a[0]] - a[best_a[1]] <= tie)
        self._unexplained += bool(a[best_a[0]] - a[best_b[0]] > tie)

    def own_figures(self) -> dict[str, float]:
        """See ``AfterTensors.own_figures``."""
        return {
            "top-1 in common": share(self._first, self.images),
            "top-5 in common": share(self._five, self.images),
            "first classes that hang on rounding": share(self._tied, self.images),
            UNEXPLAINED: float(self._unexplained),
        }

    def own_tolerances(self) -> Sequence[Tolerance]:
        """See ``AfterTensors.own_tolerances``."""
        return [at_most(UNEXPLAINED, 0, "which class comes first is decided by the values, which are compared")]

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        return {**self.raw.look_for(), UNEXPLAINED: "outputs in another order, or a class whose weights were altered"}

    def success(self, figures: Mapping[str, float]) -> str:
        """See ``Comparison.success``."""
        return (
            f"top-1 in common {figures['top-1 in common']:.1%} and top-5 {figures['top-5 in common']:.1%} "
            f"({figures['first classes that hang on rounding']:.1%} of the first hang on rounding); "
            f"{self.raw.success(figures)}"
        )


def _comparable(values: Values) -> NDArray[np.float64]:
    """Values whose errors are of one size: probabilities as logarithms; what is no number comes last."""
    exact = np.nan_to_num(values.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    if exact.min() < 0 or exact.max() > 1:
        return exact
    return np.log(np.maximum(exact, FP16_STEP**2))


def _tie(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    likely = np.argsort(-a, kind="stable")[:LIKELY]
    with np.errstate(invalid="ignore"):
        errors = np.nan_to_num((a - b)[likely], nan=0.0, posinf=0.0, neginf=0.0)
    usual = float(np.sqrt(np.square(errors).mean()))
    return max(2 * STANDS_OUT * usual, FP16_STEP * float(np.abs(a[likely]).max()))
