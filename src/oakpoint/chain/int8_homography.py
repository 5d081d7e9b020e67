"""What INT8 loses of the homographies that keypoints are for, by the protocol of ``oakpoint eval``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.bundle.interface import Interface
from oakpoint.errors import BackendError, ImageError
from oakpoint.evaluate.cache import FeatureCache
from oakpoint.evaluate.candidates import ExtractorCandidate
from oakpoint.evaluate.evaluation import evaluate
from oakpoint.evaluate.homography import HomographyProtocol
from oakpoint.evaluate.intervals import Estimate, difference
from oakpoint.evaluate.pairs import Dataset
from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_sequence
from oakpoint.extractor import predictor_for
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.verify.tolerances import Tolerance, at_most

PAIRS = 100
"""Synthetic pairs over all images, at least. Which homography RANSAC finds is luck in part: over 400 pairs of acorn the
interval is still 0.027 to either side, so that a verdict rests on its lower end, and the estimate is told beside it."""

FIGURE = "auc_5px"
"""The area under the curve up to 5 px: steadier than the share below one threshold."""

LOST = "homography accuracy lost"
AT_LEAST, AT_MOST = f"{LOST}, at least", f"{LOST}, at most"
"""The ends of the 95 % interval."""

Open = Callable[[], Backend]


@final
class HomographyLoss:
    """Measures both models by P2 on synthetic pairs of the same images, once, when it is first asked."""

    def __init__(
        self,
        task: Keypoints,
        interface: Interface,
        images: Mapping[str, NDArray[np.uint8]],
        float_model: Open,
        int8: Open,
    ) -> None:
        """Take what is measured.

        Args:
            task: how outputs become keypoints.
            interface: of both models, which run at its size.
            images: of which pairs are made.
            float_model: opens the model that is believed.
            int8: opens the other.
        """
        self._task, self._interface, self._images = task, interface, images
        self._open = {"float": float_model, "int8": int8}

    @cached_property
    def lost(self) -> Estimate:
        """What INT8 loses, with its interval over images, or over pairs where there is one image.

        NaN where an image is too small for a pair, or a model does not run.
        """
        try:
            return self._measured()
        except (BackendError, ImageError):  # a model that does not run is told of where its outputs are compared
            return Estimate(float("nan"), float("nan"), float("nan"), 0, 0)

    def _measured(self) -> Estimate:
        views = -(-PAIRS // len(self._images))
        sequences = [
            synthetic_sequence(name, image, SyntheticOptions(views=views)) for name, image in self._images.items()
        ]
        candidates = [ExtractorCandidate(label, self._extractor(label), FeatureCache(None)) for label in self._open]
        try:
            dataset = Dataset("images held out", tuple(sequences), ())
            rows = evaluate(dataset, candidates, (HomographyProtocol(),), lambda _, __: None).rows
        finally:
            for candidate in candidates:
                candidate.close()
        figure = next(figure for figure in HomographyProtocol.figures if figure.key == FIGURE)
        of_float, of_int8 = (row.values(figure.value) for row in rows)
        drawn = rows[0].sequences if len(self._images) > 1 else [str(number) for number in range(len(of_float))]
        return difference(figure, of_float, of_int8, drawn, seed=0)

    def _extractor(self, label: str) -> Any:
        return predictor_for(lambda _: self._open[label](), interface=self._interface, task=self._task)

    def figures(self) -> dict[str, Callable[[], float]]:
        """What to measure, by name."""
        return {LOST: lambda: self.lost.value, AT_LEAST: lambda: self.lost.low, AT_MOST: lambda: self.lost.high}


def homography_limit(task: Task[Any], bound: float) -> tuple[tuple[Tolerance, ...], tuple[str, ...]]:
    """The limit on what is lost, of a network with keypoints, and the figures that are told."""
    if not isinstance(task, Keypoints):
        return (), ()
    reason = f"what was asked for with --int8-loss: that more is lost is not shown by {PAIRS} synthetic pairs or more"
    return (at_most(AT_LEAST, bound, reason, may_be_absent=True),), (LOST, AT_LEAST, AT_MOST)
