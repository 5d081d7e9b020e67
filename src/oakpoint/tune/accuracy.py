"""How good a configuration is: keypoints by an evaluation protocol, other networks by agreement with the full size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.evaluate.candidates import ExtractorCandidate
from oakpoint.evaluate.evaluation import evaluate
from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import Estimate, estimate
from oakpoint.evaluate.pairs import Dataset
from oakpoint.evaluate.protocol import Protocol
from oakpoint.evaluate.protocols import PROTOCOLS, protocols_by_name
from oakpoint.evaluate.summary import summarise
from oakpoint.extractor import Extractor
from oakpoint.predictor import Predictor
from oakpoint.tasks.base import Result, Task
from oakpoint.tune.trial import Interval

FIGURE: Final = "auc_5px"
"""Which figure of the protocols is maximised where none is named: the area under the curve of corner errors up to 5 px.

It asks for enough matches in the right places, as whoever estimates a pose does. A share of right matches (``mma_3px``)
is largest with a handful of certain keypoints, and a search over thresholds and budgets would end there. A share of
pairs below one error (``correct_3px``) says yes or no of each, and its interval is wider for the same pairs.
"""

AGREEMENT: Final = Figure("agreement", "agreement", "", "agreement", "mean", "higher")


class Judge(ABC):
    """Measures accuracy on images that stay the same from trial to trial.

    Attributes:
        name: the figure's, for people.
        basis: what it rests on, for people.
    """

    name: str
    basis: str

    @abstractmethod
    def accuracy(self, predictor: Predictor[Any]) -> Interval:
        """The figure of a predictor in [0, 1], higher is better, with its 95 % interval.

        Raises:
            OakpointError: the predictor fails, or gives nothing that can be compared.
        """


def figures() -> dict[str, tuple[str, Figure]]:
    """The figures that keypoints may be tuned for, shares of which more is better: key → (protocol's key, figure)."""
    return {
        figure.key: (protocol.key, figure)
        for protocol in protocols_by_name(PROTOCOLS, "published")
        for figure in protocol.figures
        if figure.better == "higher" and not figure.unit
    }


@final
class KeypointJudge(Judge):
    """A figure of the evaluation protocols, in the protocol's frame whatever size the network is given.

    ``oakpoint eval MODEL@320x240 --photographs DIR`` gives the same figure.
    """

    def __init__(self, dataset: Dataset, figure: str = FIGURE, *, seed: int = 0) -> None:
        """Take the pairs, the figure's key and the seed of the bootstrap.

        Raises:
            UsageError: an unknown figure.
        """
        known = figures()
        if figure not in known:
            raise UsageError(f"figure: expected one of {', '.join(known)}, got {figure!r}")
        key, self._figure = known[figure]
        (self._protocol,) = protocols_by_name([key], "published")
        self._dataset, self._seed = dataset, seed
        self.name = f"{self._figure.label} ({key.upper()})"
        self.basis = f"{dataset.pairs} pairs: {dataset.name}"

    def accuracy(self, predictor: Predictor[Any]) -> Interval:
        """See ``Judge.accuracy``."""
        assert isinstance(predictor, Extractor), "asked before the first trial"
        tuned = ExtractorCandidate("tuned", predictor, warm_ups=0)  # time is measured elsewhere
        evaluation = evaluate(self._dataset, [tuned], [self._protocol], lambda _, __: None)
        found = summarise(evaluation, seed=self._seed).estimate(self._protocol.key, tuned.label, self._figure.key)
        return _interval(found)

    @property
    def protocol(self) -> Protocol:
        """By which it measures."""
        return self._protocol


@final
class AgreementJudge(Judge):
    """How far results agree with those of the network at its full size, image by image: ``Task.agreement``."""

    name = "agreement"

    def __init__(
        self, images: Callable[[], Iterable[NDArray[np.uint8]]], full: Predictor[Any], *, at: str, seed: int = 0
    ) -> None:
        """Look at the images with the full-size network.

        Args:
            images: gives uint8 (H, W) or (H, W, 3) BGR, the same whenever it is called.
            full: that network.
            at: its size, for people.
            seed: of the bootstrap.

        Raises:
            UsageError: its results cannot be compared in one figure.
            OakpointError: it fails.
        """
        self._task: Task[Any] = full.task
        self._images, self._seed = images, seed
        self._full: list[Result] = [full(image) for image in images()]
        self._task.agreement(self._full[0], self._full[0])  # says now where there is no such figure
        self.name = f"agreement with {at}"
        self.basis = f"{len(self._full)} images, the same {self._task.name} as at {at} (f32, the network's preset)"

    def accuracy(self, predictor: Predictor[Any]) -> Interval:
        """See ``Judge.accuracy``."""
        found = [predictor(image) for image in self._images()]
        values = [self._task.agreement(expected, got) for expected, got in zip(self._full, found, strict=True)]
        images = [str(number) for number in range(len(values))]
        return _interval(estimate(AGREEMENT, np.array(values, np.float64), images, seed=self._seed))


def _interval(found: Estimate) -> Interval:
    return Interval(found.value, found.low, found.high)
