"""How weights lie in a blob, and the same in the order output channels, input channels, kernel.

Source: ``src/middleend/passes/sw_conv_adaptation.cpp``, ``sw_deconv_adaptation.cpp``, ``sw_fc_adaptation.cpp``,
``hw_conv_tiling.cpp`` and ``src/model/data_contents`` of OpenVINO's ``graph_transformer``, tag 2021.3.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from oakpoint.errors import BlobError
from oakpoint.myriad.parameters import ConvParameters

ENGINE_BLOCK = 8
"""Output channels that lie side by side in the engine's weights."""

SPATIAL_KERNEL_LIMIT = 12
SPATIAL_CHANNEL_LIMIT = 256
"""Limits of the compiler's 'spatial' convolution on the SHAVEs, which has an arrangement of its own."""


def from_engine(packed: NDArray[Any], taps: int) -> NDArray[Any]:
    """Weights (O, C, K) of an engine's convolution, O and C filled up, from ``[oc/8][ic][ky·kx][oc%8]``.

    Raises:
        BlobError: another shape.
    """
    if packed.ndim != 4 or packed.shape[3] != ENGINE_BLOCK or packed.shape[2] != taps:
        raise BlobError(
            f"weights of shape {packed.shape}, expected blocks of {ENGINE_BLOCK} channels and {taps} elements"
        )
    blocks, channels = packed.shape[:2]
    return packed.transpose(0, 3, 1, 2).reshape(blocks * ENGINE_BLOCK, channels, taps)


def from_shave(packed: NDArray[Any], order: str, outputs: int, channels: int, taps: int) -> NDArray[Any]:
    """Weights (O, C, K) of a convolution on the SHAVEs.

    Args:
        packed: all weights.
        order: axes outermost first: o output channels, c input channels, k kernel.
        outputs: O.
        channels: C.
        taps: K.

    Raises:
        BlobError: another number of weights.
    """
    sizes = {"o": outputs, "c": channels, "k": taps}
    if packed.size != outputs * channels * taps:
        raise BlobError(f"{packed.size} weights for {outputs} x {channels} channels and {taps} elements")
    arranged = packed.reshape([sizes[axis] for axis in order])
    return arranged.transpose([order.index(axis) for axis in "ock"])


def shave_order(parameters: ConvParameters, channels: int, outputs: int, *, channels_last: bool) -> str:
    """Axes of the weights of a convolution on the SHAVEs, outermost first, as ``from_shave`` takes them."""
    kx, ky = parameters.kernel_x, parameters.kernel_y
    if (kx, ky) == (1, 1):
        return "ock"
    if not channels_last:
        return "koc"
    if 1 < kx < SPATIAL_KERNEL_LIMIT and kx % 2 and ky != 1 and channels * outputs <= SPATIAL_CHANNEL_LIMIT:
        return "kco"
    if (kx, ky) == (3, 3) and channels > 3:
        return "koc"
    return "okc"


DEPTHWISE_ORDER = "kco"
TRANSPOSED_ORDER = "koc"
"""Of weights on the SHAVEs; transposed convolutions have their kernel turned by 180°."""


def transposed_depthwise_order(*, channels_last: bool) -> str:
    """Of a transposed convolution of every channel by itself."""
    return "kco" if channels_last else "ock"


def from_fully_connected(packed: NDArray[Any], outputs: int, channels: int, pixels: int) -> NDArray[Any]:
    """Weights (O, C, pixels) of a fully connected stage, whose rows run over pixels, then channels.

    Raises:
        BlobError: another number of weights.
    """
    if packed.size != outputs * channels * pixels:
        raise BlobError(f"{packed.size} weights for {outputs} outputs, {channels} channels and {pixels} pixels")
    return packed.reshape(pixels, channels, outputs).transpose(2, 1, 0)
