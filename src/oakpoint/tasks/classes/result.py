"""What a classifier found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.labels import label_of


@final
@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The most probable classes of one image, the best first.

    Attributes:
        indices: int64 (K,), numbers of the classes, in the order of the network's outputs.
        probabilities: float32 (K,), descending, in [0, 1] where the network gives a distribution.
        labels: names of all classes; empty where nobody gave them.
    """

    indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    def names(self) -> list[str]:
        """What each class is called; see ``labels.label_of``."""
        return [label_of(self.labels, index) for index in self.indices.tolist()]

    def facts(self) -> dict[str, Any]:
        """See ``tasks.base.Result.facts``."""
        rows = zip(self.indices.tolist(), self.names(), self.probabilities.tolist(), strict=True)
        return {
            "classes": [
                {"class": index, "label": name if self.labels else None, "probability": value}
                for index, name, value in rows
            ]
        }

    def figure(self) -> str:
        """See ``tasks.base.Result.figure``."""
        return f"{self.names()[0]} {self.probabilities[0]:.0%}"
