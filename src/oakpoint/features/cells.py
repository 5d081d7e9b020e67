"""The grid of cells that keypoint networks divide an image into."""

from __future__ import annotations

from oakpoint.errors import UsageError
from oakpoint.features.types import CELL_PX


def require_cells(size: tuple[int, int]) -> tuple[int, int]:
    """Require an image size of whole cells: the encoder halves it three times (DeTone et al. 2018, section 3).

    Args:
        size: (W, H) in pixels.

    Returns:
        The same size.

    Raises:
        UsageError: a side that is no positive multiple of 8.
    """
    return require_multiples(size, CELL_PX)


def require_multiples(size: tuple[int, int], step: int) -> tuple[int, int]:
    """Require an image size whose sides are positive multiples of something.

    Args:
        size: (W, H) in pixels.
        step: in pixels.

    Returns:
        The same size.

    Raises:
        UsageError: another one; the message names the nearest that would do.
    """
    if any(side <= 0 or side % step for side in size):
        nearest = [max(step, round(side / step) * step) for side in size]
        raise UsageError(
            f"size: expected positive multiples of {step}, got {size[0]}x{size[1]}; "
            f"the nearest is {nearest[0]}x{nearest[1]}"
        )
    return size
