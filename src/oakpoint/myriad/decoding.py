"""From the words of a stage to its parameters: which stage type has which layout.

A stage type without an entry keeps its words as :class:`~oakpoint.myriad.parameters.RawParameters`.

Source: ``serializeParamsImpl`` of each stage in ``graph_transformer/src/stages`` and ``src/middleend/passes``, OpenVINO
tag 2021.3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from oakpoint.errors import BlobError
from oakpoint.myriad.format import ELEMENTWISE, StageType
from oakpoint.myriad.parameters import (
    AxisParameters,
    ClampParameters,
    ConcatParameters,
    ConvertParameters,
    ConvParameters,
    DeconvParameters,
    ElementwiseParameters,
    GatherElementsParameters,
    GatherNdParameters,
    GemmParameters,
    InterpParameters,
    LrnParameters,
    MvnParameters,
    NoParameters,
    NormalizeParameters,
    OneHotParameters,
    PadParameters,
    Parameters,
    PermuteParameters,
    PoolNdParameters,
    PoolParameters,
    PowerParameters,
    RawParameters,
    ReduceParameters,
    ReluParameters,
    ResampleParameters,
    RoiAlignParameters,
    RoundParameters,
    SlopeParameters,
    StridedSliceParameters,
    TileParameters,
    TopKParameters,
    UpsamplingParameters,
)

_S = StageType
_PARAMETERS: dict[int, type[Parameters]] = {
    **dict.fromkeys((_S.CONV, _S.DEPTH_CONV, _S.REF_CONVOLUTION, _S.IM2COL_CONVOLUTION), ConvParameters),
    **dict.fromkeys((_S.DECONVOLUTION, _S.DEPTH_DECONV), DeconvParameters),
    **dict.fromkeys((_S.MAX_POOL, _S.AVG_POOL, _S.GLOBAL_MAX_POOL), PoolParameters),
    **dict.fromkeys(ELEMENTWISE, ElementwiseParameters),
    **dict.fromkeys((_S.RELU, _S.LEAKY_RELU, _S.BIAS_RELU, _S.BIAS_LEAKY_RELU), ReluParameters),
    **dict.fromkeys((_S.SOFTMAX, _S.GATHER), AxisParameters),
    **dict.fromkeys((_S.REDUCE_AND, _S.REDUCE_MIN, _S.REDUCE_MAX, _S.REDUCE_SUM, _S.REDUCE_MEAN), ReduceParameters),
    **dict.fromkeys((_S.ELU, _S.SWISH), SlopeParameters),
    **dict.fromkeys((_S.LRN, _S.INNER_LRN), LrnParameters),
    _S.POOL_ND: PoolNdParameters,
    _S.CLAMP: ClampParameters,
    _S.POWER: PowerParameters,
    _S.CONVERT: ConvertParameters,
    _S.PERMUTE: PermuteParameters,
    _S.PAD: PadParameters,
    _S.NORMALIZE: NormalizeParameters,
    _S.MVN: MvnParameters,
    _S.TILE: TileParameters,
    _S.TOP_K: TopKParameters,
    _S.CONCAT: ConcatParameters,
    _S.GATHER_ELEMENTS: GatherElementsParameters,
    _S.GATHER_ND: GatherNdParameters,
    _S.ONE_HOT: OneHotParameters,
    _S.STRIDED_SLICE: StridedSliceParameters,
    _S.ROI_ALIGN: RoiAlignParameters,
    _S.ROUND: RoundParameters,
    _S.GEMM: GemmParameters,
    _S.INTERP: InterpParameters,
    _S.RESAMPLE: ResampleParameters,
    _S.UPSAMPLING: UpsamplingParameters,
}
_GATHERED: dict[type[Parameters], int] = {
    PermuteParameters: 8,
    PadParameters: 8,
    PoolNdParameters: 16,
}
"""Classes whose first so many words make one tuple."""


def parameters_from_bytes(stage_type: int, data: bytes) -> Parameters:
    """Decode the parameters of a stage.

    Raises:
        BlobError: there are more or fewer bytes than the stage type takes.
    """
    kind = _PARAMETERS.get(stage_type)
    if kind is None:
        return RawParameters(data) if data else NoParameters()
    layout = struct.Struct("<" + kind.FORMAT)
    if kind is StridedSliceParameters and len(data) == 8:
        data += bytes(layout.size - len(data))
    if layout.size != len(data):
        raise BlobError(f"parameters of {len(data)} bytes, expected {layout.size}")
    values: tuple[Any, ...] = layout.unpack(data)
    gathered = _GATHERED.get(kind, 0)
    build: Callable[..., Parameters] = kind
    return build(values[:gathered], *values[gathered:]) if gathered else build(*values)
