"""What is asked of whatever compares the outputs of two models: the stages drive it, the tasks write it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.verify.tolerances import Tolerance

View = TypeVar("View")


class Comparison(ABC, Generic[View]):
    """Gathers over images how far the outputs of a candidate agree with those of a reference.

    A *view* is what one model gives for one picture, in whichever form it is compared. One comparison serves one stage.

    Attributes:
        images: how many pictures were compared.
    """

    images: int

    @abstractmethod
    def reference(self, tensors: Tensors) -> View:
        """The view of the model that is believed.

        Raises:
            BackendError: tensors of another kind of network.
        """

    @abstractmethod
    def candidate(self, tensors: Tensors) -> View:
        """The view of the model that is judged.

        Raises:
            BackendError: tensors of another kind of network: the candidate fails.
        """

    @abstractmethod
    def add(self, expected: Sequence[View], got: Sequence[View]) -> None:
        """Compare what both give for the same pictures: an image and a second view of it.

        Raises:
            BackendError: the candidate's have other shapes: it fails.
        """

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """All figures by name; NaN where nothing could be measured."""

    @abstractmethod
    def tolerances(self) -> Sequence[Tolerance]:
        """Limits on the figures, the first one that fails being what the report says."""

    @abstractmethod
    def look_for(self) -> Mapping[str, str]:
        """Figure → what it points to when it fails."""

    @abstractmethod
    def why_nothing(self) -> str | None:
        """Why what a user sees of the outputs could not be compared; None where it could."""

    def distributions(self) -> Mapping[str, NDArray[np.floating[Any]]]:
        """Values (N,) whose spread tells more than a figure of them, such as cosines, by name; none by default."""
        return {}

    @abstractmethod
    def success(self, figures: Mapping[str, float]) -> str:
        """What a pass means, in one line."""
