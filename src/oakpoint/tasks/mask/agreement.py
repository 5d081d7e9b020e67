"""How far two segmenters agree on the same images: in their values, and in the class of every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.tasks.after_tensors import AfterTensors, share
from oakpoint.tasks.mask.reading import PixelReader
from oakpoint.verify.tolerances import Tolerance, at_most

UNEXPLAINED = "pixels that rounding does not explain"


@final
class MaskAgreement(AfterTensors):
    """Pixels of the same class.

    A pixel hangs on rounding where the reference puts its class before the next by no more than twice the error that
    rounding explains on these images (``TensorAgreement.explained``): both values may be off by it. One that hangs on
    nothing and has another class all the same is not explained.
    """

    def __init__(self, stage: str, reader: PixelReader) -> None:
        """Take the stage, and what reads the class of a pixel."""
        super().__init__(stage, lambda tensors: tensors)
        self._reader = reader
        self._margins: list[NDArray[np.float32]] = []
        self._turned: list[NDArray[np.float32]] = []
        self._confusion = np.zeros((reader.classes, reader.classes), np.int64)

    def reference(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.reference``."""
        self._reader.values(tensors)  # refuses other outputs
        if self._reader.channels == 1 and self._reader.activation == "none":
            self.raw.probabilities = frozenset(tensors)
        return tensors

    candidate = reference

    def add_image(self, expected: Tensors, got: Tensors) -> None:
        """See ``AfterTensors.add_image``."""
        a, b = (np.nan_to_num(self._reader.values(tensors), nan=-np.inf) for tensors in (expected, got))
        class_a, class_b = self._reader.class_of(a), self._reader.class_of(b)
        np.add.at(self._confusion, (class_a.ravel(), class_b.ravel()), 1)
        turned = class_a != class_b
        self._margins.append(self._margin(a).ravel())
        self._turned.append(self._margin_over(a, class_b)[turned])

    def _margin(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """By how much the class of each place leads the next."""
        if len(values) == 1:
            # The level is not off: one error decides, not two.
            return np.asarray(2 * np.abs(values[0] - self._reader.level(values)), np.float32)
        best = np.partition(values, -2, axis=0)
        return np.asarray(best[-1] - best[-2], np.float32)

    def _margin_over(self, values: NDArray[np.float32], others: NDArray[np.int16]) -> NDArray[np.float32]:
        """By how much the class of each place leads another."""
        if len(values) == 1:
            return self._margin(values)
        other = np.take_along_axis(values, others[np.newaxis].astype(np.int64), axis=0)[0]
        return np.asarray(values.max(axis=0) - other, np.float32)

    def own_figures(self) -> dict[str, float]:
        """See ``AfterTensors.own_figures``."""
        if not self.images:
            return {}
        (name,) = self.raw.outputs
        allowed = 2 * self.raw.explained(name)
        pixels = int(self._confusion.sum())
        return {
            "pixels in common": share(int(np.trace(self._confusion)), pixels),
            "mean intersection over union of the classes": self._mean_iou(),
            "pixels that hang on rounding": share(sum(int((m <= allowed).sum()) for m in self._margins), pixels),
            UNEXPLAINED: float(sum(int((m > allowed).sum()) for m in self._turned)),
        }

    def _mean_iou(self) -> float:
        """Over the classes that either side found. Source: the measure of the PASCAL VOC segmentation challenge."""
        common = np.diag(self._confusion)
        either = self._confusion.sum(axis=0) + self._confusion.sum(axis=1) - common
        found = either > 0
        return float((common[found] / either[found]).mean()) if found.any() else float("nan")

    def own_tolerances(self) -> Sequence[Tolerance]:
        """See ``AfterTensors.own_tolerances``."""
        return [at_most(UNEXPLAINED, 0, "the class of a pixel is decided by its values, which are compared")]

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        local = "a tile, copy or channel that went wrong, or a single altered weight"
        return {**self.raw.look_for(), UNEXPLAINED: local}

    def success(self, figures: Mapping[str, float]) -> str:
        """See ``Comparison.success``."""
        return (
            f"{figures['pixels in common']:.3%} of the pixels in common "
            f"({figures['pixels that hang on rounding']:.2%} hang on rounding); {self.raw.success(figures)}"
        )
