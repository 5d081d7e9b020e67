"""Convolution as matrix products, the same for every way to tile it.

Sums are formed in float64 and rounded to FP32. A product of two FP16 numbers is a multiple of 2^-48, and float64
holds 53 bits, so sums below 32 are exact and larger ones nearly so: the result does not depend on the order of
summation, by which BLAS differs between matrix shapes, and two blobs that cut one network into different tiles agree
bit for bit. In float32 they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError
from oakpoint.myriad.simulator.memory import Array
from oakpoint.myriad.simulator.workers import Workers

COLUMN_BLOCK_ELEMENTS: Final = 1 << 18
"""Elements of the matrix that is unfolded at a time: 2 MiB of float64, which stays in a core's cache."""

MAX_BORDER_PX: Final = 1024
"""Padding, stride, dilation, and how far an output may reach beyond a padded image, over which a blob is damaged."""

MAX_REACH_PX: Final = 1 << 16
"""Of a kernel: a pooling over a whole axis has one as long as the axis."""


@dataclass(frozen=True, slots=True)
class Window:
    """Geometry of a convolution or pooling in pixels; the padding after is what the output's size asks for."""

    kernel_y: int
    kernel_x: int
    stride_y: int
    stride_x: int
    pad_top: int
    pad_left: int
    dilation_y: int = 1
    dilation_x: int = 1

    def __post_init__(self) -> None:
        sizes = (self.kernel_y, self.kernel_x, self.stride_y, self.stride_x, self.dilation_y, self.dilation_x)
        reach = max((self.kernel_y - 1) * self.dilation_y, (self.kernel_x - 1) * self.dilation_x)
        borders = (self.stride_y, self.stride_x, self.dilation_y, self.dilation_x, self.pad_top, self.pad_left)
        if not (min(sizes) >= 1 and max(borders) <= MAX_BORDER_PX and reach < MAX_REACH_PX):
            raise BlobError(f"kernel, stride, padding or dilation out of range in {self}")

    @property
    def is_pointwise(self) -> bool:
        """One input pixel for each output pixel."""
        return (self.kernel_y, self.kernel_x, self.stride_y, self.stride_x, self.pad_top, self.pad_left) == (
            (1, 1, 1, 1, 0, 0)
        )

    def padded_size(self, output_height: int, output_width: int) -> tuple[int, int]:
        """Rows and columns of input, padding included, that an output of the given size reads."""
        height = (output_height - 1) * self.stride_y + (self.kernel_y - 1) * self.dilation_y + 1
        width = (output_width - 1) * self.stride_x + (self.kernel_x - 1) * self.dilation_x + 1
        return height, width

    def padded(self, image: Array, output_height: int, output_width: int, *, fill: float, dtype: type) -> Array:
        """``image`` (C, H, W) with its border, as the window reads it; what lies beyond is cut off."""
        height, width = self.padded_size(output_height, output_width)
        if max(height - image.shape[1], width - image.shape[2]) > 2 * MAX_BORDER_PX:
            raise BlobError(f"an output of {output_height} x {output_width} pixels from {image.shape} with {self}")
        result: Array = np.empty((image.shape[0], height, width), dtype)
        bottom = min(height, self.pad_top + image.shape[1])
        right = min(width, self.pad_left + image.shape[2])
        result[:, : self.pad_top] = fill
        result[:, bottom:] = fill
        result[:, :, : self.pad_left] = fill
        result[:, :, right:] = fill
        result[:, self.pad_top : bottom, self.pad_left : right] = image[
            :, : bottom - self.pad_top, : right - self.pad_left
        ]
        return result

    def taps(self, padded: Array, first_row: int, rows: int, columns: int) -> Iterator[Array]:
        """For each element of the kernel, row by row, the pixels (C, rows, columns) that it meets."""
        for ky in range(self.kernel_y):
            top = first_row * self.stride_y + ky * self.dilation_y
            row_slice = slice(top, top + (rows - 1) * self.stride_y + 1, self.stride_y)
            for kx in range(self.kernel_x):
                left = kx * self.dilation_x
                yield padded[:, row_slice, left : left + (columns - 1) * self.stride_x + 1 : self.stride_x]


def convolve(
    image: Array,
    weights: NDArray[np.float64],
    window: Window,
    output: tuple[int, int],
    finish: Callable[[slice, NDArray[np.float32]], None],
    workers: Workers,
) -> None:
    """Convolve, some rows at a time.

    Args:
        image: (C, H, W), any type.
        weights: (O, K), K = C · kernel_y · kernel_x with the channel outermost.
        window: geometry.
        output: rows and columns of the result.
        finish: takes which rows of the result, and their values (O, rows, columns); called from several threads.
        workers: they share the rows.
    """
    height, width = output
    channels = image.shape[0]
    taps = window.kernel_y * window.kernel_x
    step = max(1, COLUMN_BLOCK_ELEMENTS // max(1, weights.shape[1] * width))
    blocks = [slice(first, min(first + step, height)) for first in range(0, height, step)]
    plain = window.is_pointwise and image.shape[1:] == output
    padded = None if plain else window.padded(image, height, width, fill=0.0, dtype=np.float64)

    def one_block(rows: slice) -> None:
        count = rows.stop - rows.start
        unfolded = workers.scratch(channels * taps * count * width).reshape(channels, taps, count, width)
        if padded is None:
            unfolded[:, 0] = image[:, rows]
        else:
            for index, tap in enumerate(window.taps(padded, rows.start, count, width)):
                unfolded[:, index] = tap
        product = weights @ unfolded.reshape(channels * taps, count * width)
        finish(rows, product.astype(np.float32).reshape(-1, count, width))

    workers.run(one_block, blocks)


def convolve_depthwise(image: Array, weights: NDArray[np.float64], window: Window, output: tuple[int, int]) -> Array:
    """Convolve every channel with its own kernel.

    Args:
        image: (C, H, W).
        weights: (C, kernel_y · kernel_x).
        window: geometry.
        output: rows and columns of the result.

    Returns:
        (C, rows, columns) float32.
    """
    padded = window.padded(image, *output, fill=0.0, dtype=np.float64)
    total = np.zeros((image.shape[0], *output))
    for index, tap in enumerate(window.taps(padded, 0, *output)):
        total += weights[:, index, np.newaxis, np.newaxis] * tap
    return total.astype(np.float32)


def pool_maximum(image: Array, window: Window, output: tuple[int, int]) -> Array:
    """Largest value under the window, border excluded: (C, rows, columns) float32."""
    padded = window.padded(image, *output, fill=-np.inf, dtype=np.float32)
    height, _ = output
    across = Window(1, window.kernel_x, 1, window.stride_x, 0, 0)
    along = Window(window.kernel_y, 1, window.stride_y, 1, 0, 0)
    columns = _running_maximum(across, padded, padded.shape[1], output[1])
    return _running_maximum(along, columns, height, output[1])


def _running_maximum(window: Window, padded: Array, rows: int, columns: int) -> Array:
    taps = window.taps(padded, 0, rows, columns)
    best = next(taps).copy()
    for tap in taps:
        np.maximum(best, tap, out=best)
    return best


def pool_average(image: Array, window: Window, output: tuple[int, int], *, count_border: bool) -> Array:
    """Mean under the window: (C, rows, columns) float32.

    Args:
        image: (C, H, W).
        window: geometry.
        output: rows and columns of the result.
        count_border: divide by the whole window rather than by the pixels that lie in the image.
    """
    ones = np.ones((1, *image.shape[1:]))
    total = _window_sum(image, window, output)
    count: Array = np.array(float(window.kernel_x * window.kernel_y))
    if not count_border:
        count = np.maximum(_window_sum(ones, window, output), 1.0)
    return (total / count).astype(np.float32)


def _window_sum(image: Array, window: Window, output: tuple[int, int]) -> NDArray[np.float64]:
    padded = window.padded(image, *output, fill=0.0, dtype=np.float64)
    total = np.zeros((image.shape[0], *output))
    for tap in window.taps(padded, 0, *output):
        total += tap
    return total
