"""The rewrites of single operators that the compiler refuses or compiles to something else, in their order."""

from __future__ import annotations

from typing import Final

from oakpoint.convert.rewrites.local import LocalRewrite
from oakpoint.convert.rewrites.operators.absolute import Absolute
from oakpoint.convert.rewrites.operators.average_pool import AveragePoolBorder
from oakpoint.convert.rewrites.operators.broadcast_ranks import BroadcastRanks
from oakpoint.convert.rewrites.operators.channel_reductions import ChannelReductions
from oakpoint.convert.rewrites.operators.clip import ClipBounds
from oakpoint.convert.rewrites.operators.conv_transpose import TransposedConvolution
from oakpoint.convert.rewrites.operators.cum_sum import CumSum
from oakpoint.convert.rewrites.operators.element_indices import ElementIndices
from oakpoint.convert.rewrites.operators.epsilons import Epsilons
from oakpoint.convert.rewrites.operators.hard_sigmoid import HardSigmoid
from oakpoint.convert.rewrites.operators.hardmax import Hardmax
from oakpoint.convert.rewrites.operators.hyperbolic import Hyperbolic
from oakpoint.convert.rewrites.operators.instance_norm import InstanceNorm
from oakpoint.convert.rewrites.operators.linear_layers import LinearLayers
from oakpoint.convert.rewrites.operators.log_softmax import LogSoftmaxAxis, LogSumExp, SoftmaxAxis
from oakpoint.convert.rewrites.operators.lp_normalization import LpNormalization
from oakpoint.convert.rewrites.operators.lp_pool import LpPool
from oakpoint.convert.rewrites.operators.max_pool import MaxPoolWindows
from oakpoint.convert.rewrites.operators.one_hot import OneHot
from oakpoint.convert.rewrites.operators.pad import PadForms
from oakpoint.convert.rewrites.operators.prelu import PReluSlopes
from oakpoint.convert.rewrites.operators.recurrent import Recurrent
from oakpoint.convert.rewrites.operators.reduce_l2 import ReduceL2
from oakpoint.convert.rewrites.operators.reduce_prod import ReduceProd
from oakpoint.convert.rewrites.operators.resize import ResizeModes
from oakpoint.convert.rewrites.operators.row_reductions import RowReductions
from oakpoint.convert.rewrites.operators.scalars import Scalars
from oakpoint.convert.rewrites.operators.selu import Selu
from oakpoint.convert.rewrites.operators.sign import Sign
from oakpoint.convert.rewrites.operators.squares import Squares
from oakpoint.convert.rewrites.operators.truth_values import TruthValues
from oakpoint.convert.rewrites.operators.variance import Variance
from oakpoint.convert.rewrites.operators.volume_bias import VolumeBias

OPERATOR_REWRITES: Final[tuple[LocalRewrite, ...]] = (
    # step by step: what they are spelt out into, the others see
    Recurrent(),
    # one value at a time
    HardSigmoid(),
    Absolute(),
    Sign(),
    Selu(),
    Hyperbolic(),
    PReluSlopes(),
    ClipBounds(),
    TruthValues(),
    Squares(),
    # along axes
    SoftmaxAxis(),
    LogSoftmaxAxis(),
    LogSumExp(),
    ReduceProd(),
    CumSum(),
    Hardmax(),
    OneHot(),
    LpNormalization(),
    InstanceNorm(),
    Variance(),
    ReduceL2(),
    # windows
    AveragePoolBorder(),
    MaxPoolWindows(),
    LpPool(),
    TransposedConvolution(),
    VolumeBias(),
    ResizeModes(),
    # values moved, not changed
    PadForms(),
    ElementIndices(),
    Scalars(),
    BroadcastRanks(),
    # what the compiler cannot lay out, those above among it
    ChannelReductions(),
    RowReductions(),
    LinearLayers(),
    # what FP16 makes of small numbers: last, since those above write some
    Epsilons(),
)
"""For graphs of the device's opset with static shapes."""

REWRITTEN: Final = frozenset().union(*(rewrite.operators for rewrite in OPERATOR_REWRITES))
"""Operators that one of them looks at: none of these has to be spelt out before."""
