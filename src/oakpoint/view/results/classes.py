"""Classes, as a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.classes.result import Classes
from oakpoint.view.draw import bgr_from_image
from oakpoint.view.results.base import Column, ResultView, Summary, text_column
from oakpoint.view.results.colours import class_colour, put_list


@final
class ClassesSummary(Summary[Classes]):
    """In how many frames each class came first."""

    def __init__(self) -> None:
        self._first: Counter[str] = Counter()

    def add(self, result: Classes, tracks: None) -> None:
        """See ``Summary.add``."""
        del tracks
        self._first[result.names()[0]] += 1

    def facts(self, frames: int) -> dict[str, Any]:
        """See ``Summary.facts``."""
        del frames
        return {"first_class_frames": dict(self._first.most_common())}


@final
class ClassesView(ResultView[Classes]):
    """The most probable classes with their probabilities."""

    name = "classes"
    doing = "find"

    def summary(self) -> ClassesSummary:
        """See ``ResultView.summary``."""
        return ClassesSummary()

    def still(self, image: NDArray[np.uint8], result: Classes) -> NDArray[np.uint8]:
        """See ``ResultView.still``."""
        canvas = bgr_from_image(image)
        rows = zip(result.names(), result.indices.tolist(), result.probabilities.tolist(), strict=True)
        put_list(canvas, [(f"{name}: {value:.1%}", class_colour(index), value) for name, index, value in rows])
        return canvas

    def figures(self, result: Classes, tracks: None) -> list[str]:
        """See ``ResultView.figures``."""
        del tracks
        return [result.figure()]

    def facts(self, result: Classes, tracks: None) -> dict[str, Any]:
        """See ``ResultView.facts``."""
        del tracks
        return result.facts()

    def columns(self, result: Classes, tracks: None, *, descriptors: bool = False) -> dict[str, Column]:
        """See ``ResultView.columns``."""
        del tracks, descriptors
        return {
            "rank": np.arange(1, len(result) + 1, dtype=np.int64),
            "class": result.indices,
            "label": text_column(result.names()),
            "probability": result.probabilities,
        }

    def words(self, facts: Mapping[str, Any]) -> list[str]:
        """See ``ResultView.words``."""
        first = list(facts["first_class_frames"].items())
        return [", ".join(f"{name} first in {count}" for name, count in first[:3])]
