"""Which buffers of a stage are read and which are written.

Source: ``serializeDataImpl`` of each stage in ``graph_transformer``, OpenVINO tag 2021.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from oakpoint.errors import BlobError
from oakpoint.myriad.format import ELEMENTWISE, NceOperation, StageType
from oakpoint.myriad.nce import ABSENT, NceDescriptor
from oakpoint.myriad.parameters import ConcatParameters, GemmParameters, Parameters, TopKParameters


@dataclass(frozen=True, slots=True)
class Roles:
    """Indices into a stage's buffers."""

    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    temporaries: tuple[int, ...] = ()


_S = StageType
_WITH_WEIGHTS = frozenset(
    {_S.CONV, _S.DEPTH_CONV, _S.REF_CONVOLUTION, _S.IM2COL_CONVOLUTION, _S.DECONVOLUTION, _S.DEPTH_DECONV, _S.FC}
)
"""Input, output, weights and perhaps a temporary."""

_INPUT_OUTPUT = frozenset({
    _S.COPY, _S.CONVERT, _S.PERMUTE, _S.SOFTMAX, _S.MVN, _S.INTERP, _S.RESAMPLE, _S.TILE, _S.PAD, _S.UPSAMPLING,
    _S.MAX_POOL, _S.AVG_POOL, _S.GLOBAL_MAX_POOL, _S.POOL_ND, _S.LRN, _S.INNER_LRN, _S.GRN, _S.POWER, _S.CLAMP,
    _S.SIGMOID, _S.TANH, _S.ELU, _S.LOG, _S.EXP, _S.FLOOR, _S.CEILING, _S.ROUND, _S.ERF, _S.MISH, _S.GELU,
    _S.SOFT_PLUS, _S.SWISH, _S.H_SWISH, _S.ABS, _S.ONE_HOT, _S.SC_RELU, _S.REORG_YOLO, _S.REGION_YOLO,
})  # fmt: skip

_OUTPUT_SECOND = frozenset({
    *ELEMENTWISE, _S.RELU, _S.LEAKY_RELU, _S.BIAS_RELU, _S.BIAS_LEAKY_RELU, _S.BIAS, _S.SCALE, _S.SCALE_SHIFT,
    _S.PRELU, _S.REDUCE_AND, _S.REDUCE_MIN, _S.REDUCE_MAX, _S.REDUCE_SUM, _S.REDUCE_MEAN, _S.GATHER,
    _S.GATHER_ELEMENTS, _S.GATHER_ND, _S.NORMALIZE,
})  # fmt: skip
"""The first input, the output, the other inputs."""

_SCATTERS = frozenset({_S.SCATTER_UPDATE, _S.SCATTER_ELEMENTS_UPDATE})
"""Data, output, indices, updates, axis."""

_OUTPUT_LAST = frozenset({_S.CONCAT, _S.GEMM, _S.BROADCAST, _S.REVERSE_SEQUENCE, _S.STRIDED_SLICE, _S.ROI_ALIGN})


def roles_of(stage_type: int, parameters: Parameters, count: int, descriptors: tuple[NceDescriptor, ...]) -> Roles:
    """The roles of ``count`` buffers.

    Raises:
        BlobError: a known stage type has too few or too many buffers, or a descriptor refers to none.
    """
    every = tuple(range(count))
    if stage_type == _S.MYRIAD_X_HW_OP:
        return _hardware_roles(descriptors, count)
    if stage_type in _WITH_WEIGHTS:
        _expect(count, 3, 4)
        return Roles((0, 2), (1,), every[3:])
    if stage_type in _INPUT_OUTPUT:
        _expect(count, 2, 2)
        return Roles((0,), (1,))
    if stage_type in _OUTPUT_SECOND:
        _expect(count, 2, 4)
        return Roles((0, *every[2:]), (1,))
    if stage_type in _SCATTERS:
        _expect(count, 5, 5)
        return Roles((0, 2, 3, 4), (1,))
    if stage_type in _OUTPUT_LAST:
        expected = _inputs_before_last(parameters, count) + 1
        _expect(count, max(expected, 2), expected)
        return Roles(every[:-1], every[-1:])
    if isinstance(parameters, TopKParameters):
        _expect(count, 2 + bool(parameters.values) + bool(parameters.indices), 4)
        return Roles((0, 1), every[2:])
    return Roles()


def _inputs_before_last(parameters: Parameters, count: int) -> int:
    if isinstance(parameters, ConcatParameters):
        return parameters.inputs
    if isinstance(parameters, GemmParameters):
        return 3 if parameters.three_inputs else 2
    return count - 1


def _expect(count: int, least: int, most: int) -> None:
    if not least <= count <= most:
        raise BlobError(f"{count} buffers, expected {least} to {most}")


def _hardware_roles(descriptors: tuple[NceDescriptor, ...], count: int) -> Roles:
    """Roles by the descriptors; what none of them names serves the injected stage."""
    inputs: set[int] = set()
    outputs: set[int] = set()
    for descriptor in descriptors:
        needed = [descriptor.input]
        if descriptor.operation is not NceOperation.POOL:
            needed.append(descriptor.weights)
        optional = [i for i in (descriptor.weights, descriptor.bias, descriptor.scale) if i != ABSENT]
        for index in (*needed, *optional, descriptor.output):
            if not 0 <= index < count:
                raise BlobError(f"a hardware descriptor refers to buffer {index} of {count}")
        inputs.update(needed, optional)
        outputs.add(descriptor.output)
    if inputs & outputs:
        raise BlobError(f"hardware descriptors both read and write buffers {sorted(inputs & outputs)}")
    return Roles(tuple(sorted(inputs)), tuple(sorted(outputs)))
