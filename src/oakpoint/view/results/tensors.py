"""Tensors of which nobody knows what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.tensors.task import TensorsFound
from oakpoint.view.draw import bgr_from_image
from oakpoint.view.results.base import Column, ResultView, Summary, text_column


@final
class TensorsSummary(Summary[TensorsFound]):
    """What came last."""

    def __init__(self) -> None:
        self._last = ""

    def add(self, result: TensorsFound, tracks: None) -> None:
        """See ``Summary.add``."""
        del tracks
        self._last = result.figure()

    def facts(self, frames: int) -> dict[str, Any]:
        """See ``Summary.facts``."""
        del frames
        return {"outputs": self._last}


@final
class TensorsView(ResultView[TensorsFound]):
    """The image as it is."""

    name = "tensors"
    doing = "run"

    def summary(self) -> TensorsSummary:
        """See ``ResultView.summary``."""
        return TensorsSummary()

    def still(self, image: NDArray[np.uint8], result: TensorsFound) -> NDArray[np.uint8]:
        """See ``ResultView.still``."""
        del result
        return bgr_from_image(image)

    def figures(self, result: TensorsFound, tracks: None) -> list[str]:
        """See ``ResultView.figures``."""
        del tracks
        return [result.figure()]

    def facts(self, result: TensorsFound, tracks: None) -> dict[str, Any]:
        """See ``ResultView.facts``."""
        del tracks
        return {"tensors": result.facts()}

    def columns(self, result: TensorsFound, tracks: None, *, descriptors: bool = False) -> dict[str, Column]:
        """See ``ResultView.columns``: a row for each output, with its figures and not its values."""
        del tracks, descriptors
        facts = result.facts()
        found = {
            "output": text_column(list(facts)),
            "shape": text_column(["x".join(map(str, fact["shape"])) for fact in facts.values()]),
            "not_finite": np.array([fact["not_finite"] for fact in facts.values()], np.int64),
        }
        numbers = {
            name: np.array([math.nan if fact[name] is None else fact[name] for fact in facts.values()], np.float64)
            for name in ("min", "mean", "max")
        }
        return found | numbers

    def words(self, facts: Mapping[str, Any]) -> list[str]:
        """See ``ResultView.words``."""
        return [str(facts["outputs"])]
