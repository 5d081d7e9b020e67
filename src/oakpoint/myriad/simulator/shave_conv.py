"""Convolutions and matrix products on the SHAVEs, to which the compiler turns where the engine cannot."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.parameters import ConvParameters, DeconvParameters, GemmParameters
from oakpoint.myriad.simulator.convolve import Window, convolve, convolve_depthwise
from oakpoint.myriad.simulator.memory import Array, Memory, store
from oakpoint.myriad.simulator.step import Step, expect
from oakpoint.myriad.weights import (
    DEPTHWISE_ORDER,
    TRANSPOSED_ORDER,
    from_shave,
    shave_order,
    transposed_depthwise_order,
)


def convolution(stage: Stage, memory: Memory) -> Step:
    """A convolution of all input channels."""
    parameters = expect(stage.parameters, ConvParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    window = _window(parameters)
    channels, outputs = source.shape[1], target.shape[1]
    channels_last = stage.inputs[0].layout.axes.endswith("C")
    packed = memory.view(stage.inputs[1]).reshape(-1)
    order = shave_order(parameters, channels, outputs, channels_last=channels_last)
    weights = _unpacked(packed, order, outputs, channels, window)

    def step() -> None:
        for number in range(len(source)):
            finish = partial(_store_rows, target[number])
            convolve(source[number], weights, window, target.shape[2:], finish, memory.workers)

    return step


def _store_rows(target: Array, rows: slice, values: NDArray[np.float32]) -> None:
    store(target[:, rows], values)


def _window(parameters: ConvParameters) -> Window:
    return Window(
        parameters.kernel_y, parameters.kernel_x, parameters.stride_y, parameters.stride_x, parameters.pad_top,
        parameters.pad_left, parameters.dilation_y, parameters.dilation_x,
    )  # fmt: skip


def _unpacked(packed: Array, order: str, outputs: int, channels: int, window: Window) -> NDArray[np.float64]:
    """Weights (O, C · ky · kx)."""
    weights = from_shave(packed, order, outputs, channels, window.kernel_y * window.kernel_x)
    return weights.reshape(outputs, -1).astype(np.float64)


def depthwise(stage: Stage, memory: Memory) -> Step:
    """A convolution of every channel by itself."""
    parameters = expect(stage.parameters, ConvParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    window = _window(parameters)
    channels = source.shape[1]
    packed = memory.view(stage.inputs[1]).reshape(-1)
    if channels != target.shape[1]:
        raise BlobError(f"{channels} channels into {target.shape[1]}")
    weights = _unpacked(packed, DEPTHWISE_ORDER, channels, 1, window)

    def step() -> None:
        for number in range(len(source)):
            store(target[number], convolve_depthwise(source[number], weights, window, target.shape[2:]))

    return step


def deconvolution(stage: Stage, memory: Memory, *, grouped: bool) -> Step:
    """A transposed convolution: a convolution of the input with zeros between its pixels; its kernel is stored turned.

    Args:
        stage: the stage.
        memory: the memories.
        grouped: every channel by itself.
    """
    parameters = expect(stage.parameters, DeconvParameters)
    source, target = memory.nchw(stage.inputs[0]), memory.nchw(stage.outputs[0])
    kernel = (parameters.kernel_y, parameters.kernel_x)
    stride = (parameters.stride_y, parameters.stride_x)
    window = Window(*kernel, 1, 1, kernel[0] - 1 - parameters.pad_top, kernel[1] - 1 - parameters.pad_left)
    if min(stride) < 1:
        raise BlobError(f"transposed convolution with {parameters}")
    if min(window.pad_top, window.pad_left) < 0:
        raise NotModelledError(f"a transposed convolution that pads beyond its kernel ({parameters}) is not modelled")
    channels, outputs = source.shape[1], target.shape[1]
    packed = memory.view(stage.inputs[1]).reshape(-1)
    if grouped:
        channels_last = stage.inputs[0].layout.axes.endswith("C")
        order = transposed_depthwise_order(channels_last=channels_last)
        weights = _unpacked(packed, order, channels, 1, window)
    else:
        weights = _unpacked(packed, TRANSPOSED_ORDER, outputs, channels, window)

    def step() -> None:
        for number in range(len(source)):
            spread = _spread(source[number], stride)
            if grouped:
                store(target[number], convolve_depthwise(spread, weights, window, target.shape[2:]))
                continue
            finish = partial(_store_rows, target[number])
            convolve(spread, weights, window, target.shape[2:], finish, memory.workers)

    return step


def _spread(image: Array, stride: tuple[int, int]) -> Array:
    """``image`` (C, H, W) with zeros between its pixels."""
    channels, height, width = image.shape
    result = np.zeros((channels, (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1), image.dtype)
    result[:, :: stride[0], :: stride[1]] = image
    return result


def fully_connected(stage: Stage, memory: Memory) -> Step:
    """One product of all inputs with a matrix, whose rows run over pixels, then channels."""
    source, target = memory.aligned(stage.inputs[0], "NHWC"), memory.nchw(stage.outputs[0])
    outputs = target.shape[1]
    weights = memory.view(stage.inputs[1]).reshape(-1, outputs).astype(np.float64)
    if len(source) != len(target) or source[0].size != len(weights):
        raise BlobError(f"{source.shape} times {weights.shape} into {target.shape}")

    def step() -> None:
        values = source.reshape(len(source), -1).astype(np.float64) @ weights
        store(target, values.astype(np.float32).reshape(target.shape))

    return step


def matrix_product(stage: Stage, memory: Memory) -> Step:
    """``alpha · A @ B + beta · C`` over the two innermost axes."""
    parameters = expect(stage.parameters, GemmParameters)
    operands = [memory.view(buffer) for buffer in stage.inputs]
    target = memory.view(stage.outputs[0])

    def step() -> None:
        a, b = (operand.astype(np.float64) for operand in operands[:2])
        a = np.swapaxes(a, -1, -2) if parameters.transpose_a else a
        b = np.swapaxes(b, -1, -2) if parameters.transpose_b else b
        values = parameters.alpha * (a @ b)
        if len(operands) > 2:
            values = values + parameters.beta * operands[2].astype(np.float64)
        store(target, np.broadcast_to(values, target.shape).astype(np.float32))

    return step
