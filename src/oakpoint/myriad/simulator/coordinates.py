"""Where the elements of a resized axis lie on the original one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oakpoint.myriad.format import CoordinateMode


def source_coordinates(size: int, resized: int, mode: CoordinateMode) -> NDArray[np.float64]:
    """Coordinate on the original axis, in elements, of each element of the resized one.

    Source: ONNX, operator Resize, ``coordinate_transformation_mode``.
    """
    index = np.arange(resized, dtype=np.float64)
    scale = size / resized
    if mode is CoordinateMode.ALIGN_CORNERS:
        return index * ((size - 1) / max(resized - 1, 1))
    if mode is CoordinateMode.ASYMMETRIC:
        return index * scale
    if mode is CoordinateMode.TF_HALF_PIXEL_FOR_NN:
        return (index + 0.5) * scale
    if mode is CoordinateMode.PYTORCH_HALF_PIXEL and resized == 1:
        return np.zeros(1)
    return (index + 0.5) * scale - 0.5
