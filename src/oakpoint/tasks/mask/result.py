"""What a segmenter found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.labels import label_of

NOT_SEEN = -1
"""In a mask, where the network did not look: beyond a crop's edges."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The class of every pixel.

    Attributes:
        classes: int16 (H, W), the class of each pixel; ``NOT_SEEN`` where there is none.
        labels: names of all classes; empty where nobody gave them.
    """

    classes: NDArray[np.int16]
    labels: tuple[str, ...] = ()

    def pixels(self) -> dict[int, int]:
        """How many pixels each class has that has any, in order of the classes; ``NOT_SEEN`` is left out."""
        found, counts = np.unique(self.classes, return_counts=True)
        return {int(index): int(count) for index, count in zip(found, counts, strict=True) if index != NOT_SEEN}

    def facts(self) -> dict[str, Any]:
        """See ``tasks.base.Result.facts``: each class with its pixels, and the mask as runs.

        Runs are (class, pixels) along the rows, one row after the other, from the top left to the bottom right.
        """
        height, width = self.classes.shape
        return {
            "size": [width, height],
            "classes": [
                {"class": index, "label": self.labels[index] if self.labels else None, "pixels": count}
                for index, count in self.pixels().items()
            ],
            "runs": self._runs(),
        }

    def _runs(self) -> list[list[int]]:
        flat = self.classes.ravel()
        if not flat.size:
            return []
        starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
        lengths = np.diff([*starts, flat.size])
        return np.stack([flat[starts].astype(np.int64), lengths], axis=1).tolist()  # type: ignore[no-any-return]

    def figure(self) -> str:
        """See ``tasks.base.Result.figure``: the three largest classes."""
        counts = sorted(self.pixels().items(), key=lambda item: -item[1])[:3]
        whole = sum(self.pixels().values())
        return ", ".join(f"{label_of(self.labels, index)} {count / whole:.0%}" for index, count in counts) or "nothing"
