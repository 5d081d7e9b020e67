"""SHAVE stages that treat every element for itself: activations, arithmetic of two tensors, conversions.

Operands are FP16 or S32, the calculation is FP32, with one rounding at the end. How the chip's library approximates the
transcendental functions is not documented; here they are NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import NO_POST_OPERATION, DataType, RoundMode, StageType
from oakpoint.myriad.parameters import (
    ClampParameters,
    ConvertParameters,
    ElementwiseParameters,
    Parameters,
    PowerParameters,
    ReluParameters,
    RoundParameters,
    SlopeParameters,
)
from oakpoint.myriad.simulator.memory import Array, Memory, store, to_float
from oakpoint.myriad.simulator.step import Step, expect
from oakpoint.myriad.tensors import Buffer

Floats: TypeAlias = NDArray[np.float32]
_S = StageType

DEFAULT_ORDERS: Final = frozenset({"C", "NC", "CHW", "NCHW", "NCDHW"})
"""Axes as the compiler names those of a network's tensors, by their number."""


def _leaky(x: Floats, slope: float) -> Floats:
    return np.where(x > 0, x, x * np.float32(slope)).astype(np.float32)


def _relu(x: Floats, parameters: Parameters) -> Floats:
    slope = expect(parameters, ReluParameters).negative_slope
    return np.maximum(x, 0) if slope == 0 else _leaky(x, slope)


def _clamp(x: Floats, parameters: Parameters) -> Floats:
    limits = expect(parameters, ClampParameters)
    return np.clip(x, limits.minimum, limits.maximum)


def _power(x: Floats, parameters: Parameters) -> Floats:
    factors = expect(parameters, PowerParameters)
    y = x * np.float32(factors.scale) + np.float32(factors.bias)
    return y if factors.power == 1 else np.power(y, np.float32(factors.power))


def _elu(x: Floats, parameters: Parameters) -> Floats:
    factor = np.float32(expect(parameters, SlopeParameters).factor)
    return np.where(x > 0, x, factor * np.expm1(np.minimum(x, 0)))


def _sigmoid(x: Floats) -> Floats:
    return (1 / (1 + np.exp(-x))).astype(np.float32)


def _swish(x: Floats, parameters: Parameters) -> Floats:
    return x * _sigmoid(x * np.float32(expect(parameters, SlopeParameters).factor))


def _error_function(x: Floats) -> Floats:
    values = np.fromiter((math.erf(v) for v in x.ravel().tolist()), np.float32, x.size)
    return values.reshape(x.shape)


def _soft_plus(x: Floats) -> Floats:
    return np.logaddexp(x, np.float32(0))


def _round(x: Floats, parameters: Parameters) -> Floats:
    if RoundMode(expect(parameters, RoundParameters).mode) is RoundMode.HALF_TO_EVEN:
        return np.rint(x)
    return np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x)


UNARY: Final[dict[StageType, Callable[[Floats, Parameters], Floats]]] = {
    _S.RELU: _relu,
    _S.LEAKY_RELU: _relu,
    _S.CLAMP: _clamp,
    _S.POWER: _power,
    _S.ELU: _elu,
    _S.SWISH: _swish,
    _S.SIGMOID: lambda x, _: _sigmoid(x),
    _S.TANH: lambda x, _: np.tanh(x),
    _S.EXP: lambda x, _: np.exp(x),
    _S.LOG: lambda x, _: np.log(x),
    _S.FLOOR: lambda x, _: np.floor(x),
    _S.ROUND: _round,
    _S.CEILING: lambda x, _: np.ceil(x),
    _S.ABS: lambda x, _: np.abs(x),
    _S.ERF: lambda x, _: _error_function(x),
    _S.SOFT_PLUS: lambda x, _: _soft_plus(x),
    _S.MISH: lambda x, _: x * np.tanh(_soft_plus(x)),
    _S.GELU: lambda x, _: x * (1 + _error_function(x * np.float32(math.sqrt(0.5)))) * np.float32(0.5),
    _S.H_SWISH: lambda x, _: x * np.clip(x + 3, 0, 6) * np.float32(1 / 6),
}
"""Activations of one tensor."""

PER_CHANNEL: Final[dict[StageType, Callable[[Floats, list[Floats], Parameters], Floats]]] = {
    _S.BIAS: lambda x, v, _: x + v[0],
    _S.BIAS_RELU: lambda x, v, _: np.maximum(x + v[0], 0),
    _S.BIAS_LEAKY_RELU: lambda x, v, p: _leaky(x + v[0], expect(p, ReluParameters).negative_slope),
    _S.SCALE: lambda x, v, _: x * v[0],
    _S.SCALE_SHIFT: lambda x, v, _: x * v[0] + v[1],
    _S.PRELU: lambda x, v, _: np.where(x > 0, x, x * v[0]),
}
"""A tensor and one or two values for each channel."""


def unary(stage: Stage, memory: Memory) -> Step:
    """An activation."""
    function = UNARY[StageType(stage.type)]
    source, target = _pair(stage, memory)

    def step() -> None:
        store(target, function(to_float(source), stage.parameters))

    return step


def per_channel(stage: Stage, memory: Memory) -> Step:
    """A tensor with a bias, scale or slope for each channel."""
    function = PER_CHANNEL[StageType(stage.type)]
    source, target = _pair(stage, memory)
    axis = stage.outputs[0].layout.axes.find("C")
    shape = [1] * target.ndim
    shape[axis] = -1
    values = [memory.view(buffer) for buffer in stage.inputs[1:] if not buffer.is_absent]
    if len(values) != (2 if stage.type == _S.SCALE_SHIFT else 1):
        raise BlobError(f"{len(values)} tensors of values for each channel")
    if axis < 0:
        raise NotModelledError(f"values for each channel of {stage.outputs[0]}, without channels, are not modelled")

    def step() -> None:
        operands = [to_float(value).reshape(shape) for value in values]
        store(target, function(to_float(source), operands, stage.parameters))

    return step


def _pair(stage: Stage, memory: Memory) -> tuple[Array, Array]:
    """Input and output of a stage that keeps the shape, with the output's order of axes."""
    target = memory.view(stage.outputs[0])
    source = memory.aligned(stage.inputs[0], stage.outputs[0].layout.axes)
    if source.shape != target.shape:
        raise BlobError(f"{stage.inputs[0]} into {stage.outputs[0]}")
    return source, target


def _boolean(function: Callable[..., Array]) -> Callable[[list[Array]], Array]:
    return lambda operands: function(*operands).astype(operands[0].dtype)


def _divide(operands: list[Array]) -> Array:
    if operands[0].dtype.kind == "i":
        return np.asarray(np.trunc(operands[0] / operands[1]))
    return np.asarray(operands[0] / operands[1])


def _minimum(operands: list[Array]) -> Array:
    return np.asarray(np.minimum(operands[0], operands[1]))


_SIMPLE: Final[dict[StageType, Callable[[list[Array]], Array]]] = {
    _S.MIN: _minimum,
    _S.DIV: _divide,
    _S.SQUARED_DIFF: lambda v: np.square(v[0] - v[1]),
    _S.POW: lambda v: np.power(v[0], v[1]),
    _S.FLOOR_MOD: lambda v: np.mod(v[0], v[1]),
    _S.EQUAL: _boolean(np.equal),
    _S.NOT_EQUAL: _boolean(np.not_equal),
    _S.GREATER: _boolean(np.greater),
    _S.GREATER_EQUAL: _boolean(np.greater_equal),
    _S.LESS: _boolean(np.less),
    _S.LESS_EQUAL: _boolean(np.less_equal),
    _S.LOGICAL_AND: _boolean(np.logical_and),
    _S.LOGICAL_OR: _boolean(np.logical_or),
    _S.LOGICAL_XOR: _boolean(np.logical_xor),
    _S.LOGICAL_NOT: _boolean(np.logical_not),
    _S.SELECT: lambda v: np.where(v[0] != 0, v[1], v[2]),
}
_OPERANDS: Final = {_S.LOGICAL_NOT: 1, _S.SELECT: 3}


def _combine(stage: Stage, operands: list[Array]) -> Array:
    parameters = expect(stage.parameters, ElementwiseParameters)
    first, second = parameters.coefficients(integer=operands[0].dtype.kind == "i")
    kind = operands[0].dtype.type
    if stage.type == _S.SUM:
        return np.asarray(operands[0] * kind(first) + operands[1] * kind(second))
    if stage.type == _S.PROD:
        return np.asarray(operands[0] * operands[1] * kind(first))
    if stage.type == _S.MAX:
        return np.asarray(np.maximum(operands[0] * kind(first), operands[1] * kind(second)))
    return _SIMPLE[StageType(stage.type)](operands)


def _post_operation(values: Array, parameters: ElementwiseParameters) -> Array:
    """The activation that was merged into an element-wise stage."""
    kind = parameters.post_operation
    if kind == NO_POST_OPERATION:
        return values
    if kind == _S.RELU:
        return np.asarray(np.maximum(values, 0))
    if kind == _S.LEAKY_RELU:
        return _leaky(values, parameters.negative_slope)
    if kind == _S.CLAMP:
        return np.clip(values, parameters.minimum, parameters.maximum)
    raise NotModelledError(f"an element-wise stage with activation {kind} is not modelled")


def combination(stage: Stage, memory: Memory) -> Step:
    """Arithmetic, comparison or selection over two or three tensors, broadcast to the output."""
    parameters = expect(stage.parameters, ElementwiseParameters)
    output = stage.outputs[0]
    target = memory.view(output)
    present = [buffer for buffer in stage.inputs if not buffer.is_absent]
    wanted = _OPERANDS.get(StageType(stage.type), 2)
    if len(present) != wanted:
        raise BlobError(f"{len(present)} operands, expected {wanted}")
    sources = [_broadcastable(buffer, output.layout.axes, memory) for buffer in present]
    types = [_working_type(buffer) for buffer in present]

    def step() -> None:
        operands = [source.astype(kind) for source, kind in zip(sources, types, strict=True)]
        values = _post_operation(_combine(stage, operands), parameters)
        store(target, np.broadcast_to(values, target.shape))

    return step


def _broadcastable(buffer: Buffer, axes: str, memory: Memory) -> Array:
    """An operand with the output's axes, or fewer of them.

    Tensors of three and more dimensions are matched by the names of their axes, which may lie in another order in
    memory; those of one or two, which the compiler names C and NC whatever they mean, from the innermost axis on.
    """
    if len(buffer.layout.axes) == len(axes) or len(buffer.layout.axes) > 2:
        return memory.aligned(buffer, axes)
    if axes not in DEFAULT_ORDERS:
        raise NotModelledError(f"{buffer} beside a tensor of order {axes} is not modelled")
    return memory.view(buffer)


def _working_type(buffer: Buffer) -> type[np.generic]:
    return np.float32 if buffer.layout.dtype in (DataType.FP16, DataType.FP32) else np.int64


def convert(stage: Stage, memory: Memory) -> Step:
    """Another element type, scaled and shifted, and perhaps another order of axes.

    What becomes a whole number loses its fraction, towards zero. Source: ``ref_convert`` in the vendor's own tests of
    this stage (``myriad_layers_reference_functions.cpp``), and ONNX, operator Cast.
    """
    parameters = expect(stage.parameters, ConvertParameters)
    output = stage.outputs[0]
    target = memory.view(output)
    source = memory.aligned(stage.inputs[0], output.layout.axes)
    if source.size != target.size:
        raise BlobError(f"{stage.inputs[0]} into {output}")
    scale, bias = np.float32(parameters.scale), np.float32(parameters.bias)

    def step() -> None:
        values = source if scale == 1 and bias == 0 else to_float(source) * scale + bias
        if target.dtype.kind == "f":
            store(target, values.astype(np.float32))
        else:
            store(target, np.trunc(values) if values.dtype.kind == "f" else values)

    return step
