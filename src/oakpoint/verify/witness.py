"""Who sees what is compared: for reports that show it, without running anything twice."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.verify.comparison import Comparison


class Witness(Protocol):
    """Sees what both models of a stage give for the first image, and the comparison once all images are in it."""

    def saw(self, name: str, image: NDArray[np.uint8], expected: Tensors, got: Tensors) -> None:
        """Take what both models gave for the first image.

        Args:
            name: of the image.
            image: uint8 (H, W) or (H, W, 3) BGR.
            expected: the reference's outputs.
            got: the candidate's; they may be of another form, and values may be infinite or no numbers.
        """

    def compared(self, comparison: Comparison[Any]) -> None:
        """Take the comparison after the last image."""
