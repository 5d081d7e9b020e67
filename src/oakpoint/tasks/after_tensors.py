"""What the comparisons of several tasks have in common: tensors are judged first, then what is read from them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.verify.comparison import Comparison
from oakpoint.verify.tensors import TensorAgreement
from oakpoint.verify.tolerances import Tolerance

Form = Callable[[Tensors], Tensors]
"""Makes of a model's outputs the tensors that are compared."""


class AfterTensors(Comparison[Tensors]):
    """Judges tensors as ``TensorAgreement`` does, and then what a subclass reads from them.

    Attributes:
        raw: the comparison of the tensors.
    """

    def __init__(self, stage: str, reference_form: Form, candidate_form: Form | None = None) -> None:
        """Take the stage, and what is made of the outputs of both models before they are compared.

        Args:
            stage: whose limits count.
            reference_form: for the reference.
            candidate_form: for the candidate; None for the same.
        """
        self.raw = TensorAgreement(stage)
        self._reference_form = reference_form
        self._candidate_form = candidate_form or reference_form

    @property
    def images(self) -> int:  # type: ignore[override]
        """See ``Comparison``."""
        return self.raw.images

    def reference(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.reference``."""
        return self._reference_form(tensors)

    def candidate(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.candidate``."""
        return self._candidate_form(tensors)

    def add(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> None:
        """See ``Comparison.add``."""
        self.raw.add(expected, got)
        for pair in zip(expected, got, strict=True):
            self.add_image(*pair)

    def figures(self) -> dict[str, float]:
        """See ``Comparison.figures``."""
        return self.raw.figures() | self.own_figures()

    def tolerances(self) -> Sequence[Tolerance]:
        """See ``Comparison.tolerances``."""
        return [*self.raw.tolerances(), *self.own_tolerances()]

    def distributions(self) -> Mapping[str, NDArray[np.floating[Any]]]:
        """See ``Comparison.distributions``."""
        return self.raw.distributions()

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        return self.raw.look_for()

    def why_nothing(self) -> str | None:
        """See ``Comparison.why_nothing``."""
        return self.raw.why_nothing()

    @abstractmethod
    def add_image(self, expected: Tensors, got: Tensors) -> None:
        """Compare what is read from the tensors of one image, whose names and shapes are the same.

        Values of the candidate may be infinite or no numbers.
        """

    @abstractmethod
    def own_figures(self) -> dict[str, float]:
        """Figures of what is read; NaN where nothing could be measured."""

    @abstractmethod
    def own_tolerances(self) -> Sequence[Tolerance]:
        """Limits on them."""


def share(part: float, whole: float) -> float:
    """A part of a whole; NaN where there is none."""
    return float(part / whole) if whole else float("nan")
