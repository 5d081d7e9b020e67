"""What is kept of a conversion's comparisons to be looked at: one picture, and what each model found in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface
from oakpoint.errors import BackendError
from oakpoint.tasks.base import Differences, Result, Task
from oakpoint.verify.comparison import Comparison
from oakpoint.verify.tolerances import STAGE_TOLERANCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the two models of a stage found in the picture, in its pixels.

    Attributes:
        expected: what the one that is believed found.
        got: what the other found; None where its outputs could not be read.
        differences: what of it is missing or extra; None where results are not made of parts.
    """

    expected: Result
    got: Result | None
    differences: Differences[Any] | None


@dataclass(slots=True)
class Evidence:
    """Gathered while stages are judged; nothing is run for it.

    Attributes:
        name: of the picture: the first image that was compared.
        picture: uint8 (H, W) or (H, W, 3) BGR; None where nothing was compared.
        sights: by stage, of those that looked at this picture first.
        apart: what stages saw that are judged on other images, such as INT8's; None where none is.
        distributions: by stage and name: values whose spread is shown.
        reasons: by stage and figure: where its tolerance comes from.
    """

    name: str = ""
    picture: NDArray[np.uint8] | None = None
    sights: dict[str, Sight] = field(default_factory=dict)
    apart: Evidence | None = None
    distributions: dict[str, Mapping[str, NDArray[np.floating[Any]]]] = field(default_factory=dict)
    reasons: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, name: str, picture: NDArray[np.uint8]) -> Evidence:
        """Where what is seen in a picture is kept: here, where it is the first one or the same, or apart."""
        if self.picture is None:
            self.name, self.picture = name, picture
        if self.name == name and np.array_equal(self.picture, picture):
            return self
        if self.apart is None:
            self.apart = Evidence()
        return self.apart.of(name, picture)


@final
@dataclass(frozen=True, slots=True)
class StageWitness:
    """Keeps what is seen of one stage; see ``verify.witness.Witness``.

    Attributes:
        stage: its name.
        evidence: where it is kept.
        interface: of the host's models.
        task: what their outputs mean.
        read_candidate: reads the candidate's outputs where they are not those that the task reads; None for the task.
    """

    stage: str
    evidence: Evidence
    interface: Interface
    task: Task[Any]
    read_candidate: Callable[[Tensors], Result] | None = None

    def saw(self, name: str, image: NDArray[np.uint8], expected: Tensors, got: Tensors) -> None:
        """See ``Witness.saw``."""
        try:
            reference = self.task.read(expected)
        except BackendError:  # what the comparison takes and the task does not read has nothing to show
            return
        try:
            candidate = (self.read_candidate or self.task.read)(got)
        except BackendError:
            sight = Sight(expected=self._framed(reference, image), got=None, differences=None)
        else:
            sight = self._sight(reference, candidate, image)
        self.evidence.of(name, image).sights[self.stage] = sight

    def compared(self, comparison: Comparison[Any]) -> None:
        """See ``Witness.compared``."""
        self.evidence.distributions[self.stage] = comparison.distributions()
        tolerances = (*STAGE_TOLERANCES[self.stage], *comparison.tolerances())
        self.evidence.reasons[self.stage] = {tolerance.figure: tolerance.reason for tolerance in tolerances}

    def _sight(self, reference: Result, candidate: Result, image: NDArray[np.uint8]) -> Sight:
        found = self.task.differences(reference, candidate)
        if found is not None:
            missing, extra = self._framed(found.missing_part, image), self._framed(found.extra_part, image)
            found = replace(found, missing_part=missing, extra_part=extra)
        return Sight(expected=self._framed(reference, image), got=self._framed(candidate, image), differences=found)

    def _framed(self, result: Result, image: NDArray[np.uint8]) -> Result:
        """The same in pixels of the picture."""
        if self.interface.size is None:
            return result
        size = (image.shape[1], image.shape[0])
        framed: Result = self.task.in_frame(result, self.interface.original_from_tensor(size), size)
        return framed
