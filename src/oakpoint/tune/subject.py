"""A network to be tuned, on one target: how a configuration of it is opened and measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from oakpoint.errors import OakpointError
from oakpoint.models.base import ModelOptions
from oakpoint.predictor import Predictor
from oakpoint.tune.accuracy import Judge
from oakpoint.tune.trial import Configuration, Failed, Interval, Measured, Outcome, Trial

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What is tuned.

    Attributes:
        model: a bundle, an ONNX file or a network's name.
        weights: of a network by name.
        said: what else was said of it.
        images: the user's folder of images.
    """

    model: str
    images: Path
    weights: Path | None = None
    said: ModelOptions = field(default_factory=ModelOptions)


class Subject(ABC):
    """Measures configurations on one target. What cannot be had is an outcome, not an error.

    Attributes:
        not_of_accuracy: parameters on which the accuracy does not depend.
    """

    not_of_accuracy: frozenset[str] = frozenset()

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._accuracies: dict[tuple[Any, ...], Interval] = {}

    def remember(self, trials: tuple[Trial, ...]) -> None:
        """Take over accuracies that earlier runs measured."""
        for trial in trials:
            if isinstance(trial.outcome, Measured):
                self._accuracies[self._accuracy_key(trial.configuration)] = trial.outcome.accuracy

    def measure(self, configuration: Configuration) -> Outcome:
        """Accuracy and time of a configuration; why not, where it cannot be had."""
        try:
            return self._measured(configuration)
        except OakpointError as error:
            return Failed(" ".join(str(error).split()))

    def judged(self, configuration: Configuration, judge: Judge) -> Interval | None:
        """Another judge's figure of a configuration; None where it cannot be had."""
        try:
            return judge.accuracy(self._predictor(configuration))
        except OakpointError:
            return None

    @abstractmethod
    def _predictor(self, configuration: Configuration) -> Predictor[Any]:
        """What finds in an image what the configuration finds.

        Raises:
            OakpointError: it cannot be had.
        """

    @abstractmethod
    def _measured(self, configuration: Configuration) -> Measured:
        """See ``measure``.

        Raises:
            OakpointError: it cannot be had.
        """

    def _accuracy(self, configuration: Configuration) -> Interval:
        """The judge's figure, measured once for all configurations that it is the same for."""
        key = self._accuracy_key(configuration)
        if key not in self._accuracies:
            self._accuracies[key] = self._judge.accuracy(self._predictor(configuration))
        return self._accuracies[key]

    def _accuracy_key(self, configuration: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(sorted((n, value) for n, value in configuration.items() if n not in self.not_of_accuracy))

    def close(self) -> None:  # noqa: B027 - not every subject holds something
        """Free what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
