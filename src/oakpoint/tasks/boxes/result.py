"""What a detector found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BackendError
from oakpoint.tasks.labels import label_of


@final
@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The objects of one image, the most certain first. N may be 0; types and ranks stay.

    Attributes:
        corners: float32 (N, 4), x and y of the top-left and of the bottom-right corner in pixels of the image; the
            origin is the centre of its top-left pixel, so that its edges lie at −0.5 and W − 0.5.
        scores: float32 (N,) in [0, 1], descending.
        classes: int64 (N,), numbers of their classes.
        labels: names of all classes; empty where nobody gave them.

    Raises:
        BackendError: lengths that differ.
    """

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.corners.shape != (n, 4) or self.scores.shape != (n,) or self.classes.shape != (n,):
            shapes = self.corners.shape, self.scores.shape, self.classes.shape
            raise BackendError(f"boxes: expected corners (N, 4), scores (N,), classes (N,), got {shapes}")

    def __len__(self) -> int:
        return len(self.scores)

    def names(self) -> list[str]:
        """What the class of each box is called; see ``labels.label_of``."""
        return [label_of(self.labels, index) for index in self.classes.tolist()]

    def facts(self) -> dict[str, Any]:
        """See ``tasks.base.Result.facts``."""
        rows = zip(self.corners.tolist(), self.scores.tolist(), self.classes.tolist(), self.names(), strict=True)
        return {
            "boxes": [
                {"corners": corners, "score": score, "class": index, "label": name if self.labels else None}
                for corners, score, index, name in rows
            ]
        }

    def figure(self) -> str:
        """See ``tasks.base.Result.figure``."""
        return f"{len(self)} box{'' if len(self) == 1 else 'es'}"
