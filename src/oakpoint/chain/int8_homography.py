"""What INT8 loses of the homographies that keypoints are for, by the protocol of ``oakpoint eval``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.bundle.interface import Interface
from oakpoint.errors import BackendError, ImageError
from oakpoint.evaluate.candidates import ExtractorCandidate
from oakpoint.evaluate.evaluation import evaluate
from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.homography import HomographyProtocol
from oakpoint.evaluate.intervals import Estimate, Values, difference
from oakpoint.evaluate.pairs import Dataset
from oakpoint.evaluate.pairs import Sequence as ImageSequence
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
        """What INT8 loses, with its interval (``interval_of``).

        NaN where no image is large enough for a pair; those that are too small are left out. A model that does not run
        has lost everything: why, is told where its outputs are compared.
        """
        large = _large_enough(self._images)
        if not large:
            return Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
        views = -(-PAIRS // len(large))
        try:
            return self._measured(
                [synthetic_sequence(name, image, SyntheticOptions(views=views)) for name, image in large.items()]
            )
        except BackendError:
            return Estimate(1.0, 1.0, 1.0, 0, 0)

    def _measured(self, sequences: Sequence[ImageSequence]) -> Estimate:
        candidates = [ExtractorCandidate(label, self._extractor(label), warm_ups=0) for label in self._open]
        try:
            dataset = Dataset("images held out", tuple(sequences), ())
            rows = evaluate(dataset, candidates, (HomographyProtocol(),), lambda _, __: None).rows
        finally:
            for candidate in candidates:
                candidate.close()
        figure = next(figure for figure in HomographyProtocol.figures if figure.key == FIGURE)
        of_float, of_int8 = (row.values(figure.value) for row in rows)
        return interval_of(figure, of_float, of_int8, rows[0].sequences)

    def _extractor(self, label: str) -> Any:
        return predictor_for(lambda _: self._open[label](), interface=self._interface, task=self._task)

    def figures(self) -> dict[str, Callable[[], float]]:
        """What to measure, by name."""
        return {LOST: lambda: self.lost.value, AT_LEAST: lambda: self.lost.low, AT_MOST: lambda: self.lost.high}


def interval_of(figure: Figure, values: Values, baseline: Values, images: Sequence[str]) -> Estimate:
    """``values`` less ``baseline`` with the interval over pairs; of several images, as wide as that over images, too.

    Pairs of an image resemble each other, so that over pairs an interval is too narrow where images differ. Over a few
    images it is too narrow as well: of two it begins at the smaller one, and where nothing is lost, both lie above a
    hundredth in every sixth case or so. The wider end of the two errs in neither case, which a verdict needs.

    Args:
        figure: what is computed.
        values: of each pair (n,).
        baseline: likewise.
        images: the name of each pair's image, n of them.
    """
    over_pairs = difference(figure, values, baseline, [str(number) for number in range(len(values))], seed=0)
    over_images = difference(figure, values, baseline, images, seed=0)
    low, high = (
        float(end) for end in (np.fmin(over_pairs.low, over_images.low), np.fmax(over_pairs.high, over_images.high))
    )
    return replace(over_images, low=low, high=high)


def _large_enough(images: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.uint8]]:
    """Those of which views can be made."""
    large = {}
    for name, image in images.items():
        with contextlib.suppress(ImageError):
            synthetic_sequence(name, image, SyntheticOptions(views=1))
            large[name] = image
    return large


def homography_limit(task: Task[Any], bound: float) -> tuple[tuple[Tolerance, ...], tuple[str, ...], str]:
    """The limit on what is lost, of a network with keypoints; the figures that are told; and why there may be none."""
    if not isinstance(task, Keypoints):
        return (), (), ""
    reason = f"what was asked for with --int8-loss: that more is lost is not shown by {PAIRS} synthetic pairs or more"
    limit = at_most(AT_LEAST, bound, reason, may_be_absent=True)
    return (limit,), (LOST, AT_LEAST, AT_MOST), "no image is large enough for synthetic pairs"
