"""Which layers an INT8 model keeps in float: as few as it takes to lose no more than a bound.

Its work is bounded, not its time, so that two conversions give the same bytes on a slow machine and a fast one: with N
layers, N short runs rank them, and at most 2 log₂ N + 1 quantisations find how many of them it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.int8_from_onnx import Feed, Quantiser, layers, with_layer_in_float
from oakpoint.tasks.base import Task
from oakpoint.tasks.lost import unexplained_variance
from oakpoint.tasks.quantised import mean_lost

MARGIN = 0.75
"""Of the bound, on the images that calibrate it: others, which judge it, are not quite like them."""

MOST_IN_FLOAT = 0.5
"""Of the layers. With more of them in float it is no INT8 model any more, and hardly faster than FP32."""

MOST_MEASURED, MOST_RANKING = 12, 3
"""Images on which a choice is measured, and on which each layer is tried by itself."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One image that measures: the inputs for its two views, and what the float network gives for them."""

    feeds: tuple[Feed, Feed]
    expected: tuple[Tensors, Tensors]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What came of it.

    Attributes:
        model: as OpenVINO holds it.
        layers: those that can be computed in INT8.
        in_float: those that stay in float → how much was lost when this one alone did.
        first_loss: what was lost with all of them in INT8.
        loss: what is lost now; above the bound where half of the layers did not help.
    """

    model: Any
    layers: tuple[str, ...]
    in_float: Mapping[str, float]
    first_loss: float
    loss: float


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """Chooses the layers that stay in float.

    Attributes:
        quantiser: makes the models.
        cases: images on which what is lost is measured, of those that calibrate.
        task: says how much that is.
        inputs: of the model, as it is made.
        progress: told what is being tried.
    """

    quantiser: Quantiser
    cases: Sequence[Case]
    task: Task[Any]
    inputs: Sequence[TensorSpec]
    progress: Progress

    def within(self, bound: float) -> Chosen:
        """The model that loses no more than a bound, or the one of those tried that loses least.

        Raises:
            ConversionError: NNCF refuses the network.
            BackendError: OpenVINO does.
        """
        simulated = self.quantiser.quantised(simulated=True)
        names = layers(simulated)
        model = self.quantiser.quantised()
        loss = self._lost(model, self.cases)[0]
        first = Chosen(model=model, layers=names, in_float={}, first_loss=loss, loss=loss)
        if loss <= MARGIN * bound or len(names) * MOST_IN_FLOAT < 1:
            return first
        return self._fewest(first, self._ranked(simulated, names), MARGIN * bound)

    def _ranked(self, simulated: Any, names: Sequence[str]) -> dict[str, float]:
        """What is lost when one layer alone is in float, those first that help most."""
        measured = {}
        for number, name in enumerate(names, 1):
            self.progress(f"trying layer {number} of {len(names)} in float")
            measured[name] = self._lost(with_layer_in_float(simulated, name), self.cases[:MOST_RANKING])
        order = sorted(measured, key=lambda name: measured[name])
        return {name: measured[name][0] for name in order}

    def _fewest(self, first: Chosen, ranked: Mapping[str, float], bound: float) -> Chosen:
        """The fewest layers of a ranking: twice as many until it is enough, then halved between."""
        least, failed, count, most = first, 0, 1, int(len(ranked) * MOST_IN_FLOAT)
        tried = self._with_in_float(first, _best(ranked, count))
        while tried.loss > bound and count < most:
            least = min(least, tried, key=lambda choice: choice.loss)
            failed, count = count, min(2 * count, most)
            tried = self._with_in_float(first, _best(ranked, count))
        if tried.loss > bound:
            return min(least, tried, key=lambda choice: choice.loss)
        enough = tried
        while count - failed > 1:
            middle = (failed + count) // 2
            tried = self._with_in_float(first, _best(ranked, middle))
            if tried.loss <= bound:
                enough, count = tried, middle
            else:
                failed = middle
        return enough

    def _with_in_float(self, first: Chosen, in_float: Mapping[str, float]) -> Chosen:
        self.progress(f"{len(in_float)} of {len(first.layers)} layers in float")
        model = self.quantiser.quantised([name for name in first.layers if name in in_float])
        return replace(first, model=model, in_float=in_float, loss=self._lost(model, self.cases)[0])

    def _lost(self, model: Any, cases: Sequence[Case]) -> tuple[float, float]:
        """What a model loses of its task's figure, and of the variance of its outputs.

        The second stands for the first where the float network finds nothing in these images.
        """
        with self._opened(model) as backend:
            got = [[backend.run(feed) for feed in case.feeds] for case in cases]
        lost = mean_lost([self.task.lost(case.expected, found) for case, found in zip(cases, got, strict=True)])
        expected, found = ([view for views in side for view in views] for side in ([c.expected for c in cases], got))
        error = mean_lost([unexplained_variance(*pair) for pair in zip(expected, found, strict=True)])
        return (error if np.isnan(lost) else lost), error

    @contextmanager
    def _opened(self, model: Any) -> Iterator[Backend]:
        """The model as it will be written."""
        with TemporaryDirectory(prefix="oakpoint-int8-") as scratch:
            xml = Path(scratch) / "model.xml"
            self.quantiser.write(model, xml, [tuple(map(int, spec.shape)) for spec in self.inputs])
            with open_backend(ModelSource(ir=xml), RuntimeOptions(precision="int8"), self.inputs) as backend:
                yield backend


def _best(ranked: Mapping[str, float], count: int) -> dict[str, float]:
    return dict(list(ranked.items())[:count])
