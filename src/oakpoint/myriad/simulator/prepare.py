"""From a stage to the steps that execute it: the table of stage types that are modelled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Stage
from oakpoint.myriad.format import ELEMENTWISE, StageType
from oakpoint.myriad.simulator import arrange, elementwise, pick, reduce, regions, shave_conv, volume
from oakpoint.myriad.simulator.hardware import WeightCache, prepare_hardware
from oakpoint.myriad.simulator.memory import Memory
from oakpoint.myriad.simulator.step import Step

Preparation = Callable[[Stage, Memory], Step]

_S = StageType
PREPARATIONS: Final[dict[StageType, Preparation]] = {
    **dict.fromkeys(elementwise.UNARY, elementwise.unary),
    **dict.fromkeys(elementwise.PER_CHANNEL, elementwise.per_channel),
    **dict.fromkeys(ELEMENTWISE, elementwise.combination),
    **dict.fromkeys((_S.CONV, _S.IM2COL_CONVOLUTION), shave_conv.convolution),
    **dict.fromkeys((_S.MAX_POOL, _S.AVG_POOL, _S.GLOBAL_MAX_POOL), reduce.pool),
    **dict.fromkeys((_S.REDUCE_AND, _S.REDUCE_MIN, _S.REDUCE_MAX, _S.REDUCE_SUM, _S.REDUCE_MEAN), reduce.reduction),
    _S.DEPTH_CONV: shave_conv.depthwise,
    _S.DECONVOLUTION: partial(shave_conv.deconvolution, grouped=False),
    _S.DEPTH_DECONV: partial(shave_conv.deconvolution, grouped=True),
    _S.POOL_ND: volume.mean_of_volume,
    _S.FC: shave_conv.fully_connected,
    _S.GEMM: shave_conv.matrix_product,
    _S.COPY: arrange.copy,
    _S.PERMUTE: arrange.permute,
    _S.CONCAT: arrange.concat,
    _S.TILE: arrange.tile,
    _S.BROADCAST: arrange.broadcast,
    _S.PAD: arrange.pad,
    _S.UPSAMPLING: arrange.upsampling,
    _S.GATHER: pick.gather,
    _S.GATHER_ELEMENTS: pick.gather_elements,
    _S.GATHER_ND: pick.gather_nd,
    _S.SCATTER_ELEMENTS_UPDATE: pick.scatter_elements,
    _S.ONE_HOT: pick.one_hot,
    _S.STRIDED_SLICE: pick.strided_slice,
    _S.ROI_ALIGN: regions.roi_align,
    _S.RESAMPLE: arrange.resample,
    _S.CONVERT: elementwise.convert,
    _S.SOFTMAX: reduce.softmax,
    _S.NORMALIZE: reduce.normalize,
    _S.MVN: reduce.mean_variance,
    _S.LRN: reduce.local_response,
    _S.TOP_K: reduce.top_k,
    _S.INTERP: reduce.interpolate,
}

_KNOWN_TYPES: Final = frozenset(int(kind) for kind in StageType)


def prepare(stage: Stage, memory: Memory, cache: WeightCache) -> list[Step]:
    """The steps of one stage, without those of the stage injected into it.

    Raises:
        NotModelledError: the stage type is not modelled; nothing is guessed.
        BlobError: no stage type has this number.
    """
    if stage.type == _S.MYRIAD_X_HW_OP:
        return prepare_hardware(stage, memory, cache)
    preparation = PREPARATIONS.get(stage.type)  # type: ignore[call-overload]
    if preparation is None:
        reason = f"stage type {stage.type} is not modelled by the simulator"
        raise NotModelledError(reason) if stage.type in _KNOWN_TYPES else BlobError(reason)
    return [preparation(stage, memory)]
