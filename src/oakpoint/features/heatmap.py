"""From detector logits to a map of keypoint probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import FeaturesError
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS
from oakpoint.features.workspace import WORKSPACE


def heatmap_from_logits(logits: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """The probability that a keypoint lies at each pixel of the tensor image.

    Softmax over the 65 channels of a cell, the dustbin (the last) dropped, and the other 64 laid out as the 8×8 pixels
    of the cell: channel c is row c // 8, column c % 8. The softmax is the stable one (the peak subtracted first); the
    original demo adds 1e-5 to the denominator instead, which moves a probability by less than 1e-5 of itself wherever
    a cell's largest logit is above 0.

    Args:
        logits: float32 (65, Hc, Wc). A cell in which any logit is NaN or infinite becomes 0: no keypoint.
        out: float32 (8·Hc, 8·Wc), C-contiguous, to write to; None makes an array.

    Returns:
        float32 (8·Hc, 8·Wc), in [0, 1].

    Raises:
        FeaturesError: a wrong rank or channel count.

    Source: DeTone, Malisiewicz, Rabinovich 2018, arXiv 1712.07629, section 3.2.
    """
    if logits.ndim != 3 or logits.shape[0] != LOGIT_CHANNELS:
        raise FeaturesError(f"logits: expected ({LOGIT_CHANNELS}, rows, columns), got {logits.shape}")
    peak = logits.max(axis=0)
    finite = np.isfinite(peak) & np.isfinite(logits.min(axis=0))
    probabilities = WORKSPACE.array("probabilities", logits.shape, np.float32)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        np.subtract(logits, peak, out=probabilities)
        np.exp(probabilities, out=probabilities)
        np.divide(probabilities, probabilities.sum(axis=0), out=probabilities)
    if not finite.all():
        probabilities[:, ~finite] = 0
    return pixels_from_cells(probabilities[:-1], out)


def pixels_from_cells(cells: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Values of pixels, (8·Hc, 8·Wc), from those of cells, (64, Hc, Wc): channel c is row c // 8, column c % 8.

    As ``torch.nn.functional.pixel_shuffle`` and ONNX's ``DepthToSpace`` in its mode CRD do it. ``out`` is what to write
    to, C-contiguous; None makes an array.
    """
    rows, columns = cells.shape[1:]
    pixels = np.empty((rows * CELL_PX, columns * CELL_PX), cells.dtype) if out is None else out
    by_cell = cells.reshape(CELL_PX, CELL_PX, rows, columns).transpose(2, 0, 3, 1)
    np.copyto(pixels.reshape(rows, CELL_PX, columns, CELL_PX), by_cell)
    return pixels
