"""Names and numbers of the Myriad X blob format, version 6.0 and 2022.1.

Source: OpenVINO, tag 2021.3, ``inference-engine/src/vpu/graph_transformer``: ``include/vpu/backend/blob_format.hpp``,
``include/vpu/model/stage.hpp``, ``include/vpu/model/data_desc.hpp``, ``include/vpu/middleend/hw/utility.hpp``.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np

ELF_IDENTITY: Final = b"\x7felf"
"""First bytes of a blob: an ELF header whose name is in lower case."""

ELF_HEADER_BYTES: Final = 52
BLOB_MAGIC: Final = 9709
STAGE_BORDER: Final = 0x7F83FF19
VERSIONS: Final = ((6, 0), (2022, 1))
"""Format versions that are read: 2020.4 … 2021.4 write 6.0, 2022.1 and later write 2022.1, with one layout."""

CMX_SLICE_BYTES: Final = 128 * 1024
MAX_CMX_SLICES: Final = 20
"""2.5 MB of CMX in slices of 128 KiB. Source: Intel Movidius Myriad X product brief."""

MAX_SHAVES: Final = 16
MAX_MEMORY_BYTES: Final = 512 * 1024 * 1024
"""The DDR memory in the package, 4 Gbit. Source: Intel Movidius Myriad X product brief (MA2485)."""

MAX_RANK: Final = 8
"""Dimensions of a tensor: the order word has eight nibbles."""


class DataType(enum.IntEnum):
    """Element type of a tensor."""

    FP16 = 0
    U8 = 1
    S32 = 2
    FP32 = 3
    I8 = 4

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The same type in NumPy."""
        return _NUMPY_TYPES[self]

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _NUMPY_TYPES[self].itemsize


_NUMPY_TYPES: Final[dict[DataType, np.dtype[np.generic]]] = {
    DataType.FP16: np.dtype("<f2"),
    DataType.U8: np.dtype("u1"),
    DataType.S32: np.dtype("<i4"),
    DataType.FP32: np.dtype("<f4"),
    DataType.I8: np.dtype("i1"),
}


class Location(enum.IntEnum):
    """The memory in which a buffer lies."""

    NONE = 0
    INPUT = 1
    OUTPUT = 2
    CONSTANT = 3
    BSS = 4
    CMX = 5


AXIS_NAMES: Final = {1: "W", 2: "H", 3: "C", 4: "N", 5: "D", 6: "E", 7: "F", 8: "G"}
"""Axis of each nibble of the order word; the axes over five have no name in the compiler, the letters are ours."""


class NceOperation(enum.IntEnum):
    """What a descriptor makes the neural compute engine do."""

    CONV = 0
    CONV_POOL = 1
    FULLY_CONNECTED = 2
    POOL = 4


class NceMode(enum.IntEnum):
    """How the engine's 256 multipliers are shared out: input channels x output channels of one step."""

    MODE_1X256 = 0
    MODE_2X128 = 1
    MODE_4X64 = 2
    MODE_8X32 = 3
    MODE_16X16 = 4

    @property
    def input_block(self) -> int:
        """Input channels of one step."""
        return 1 << self.value

    @property
    def label(self) -> str:
        """``"4x64"`` and the like."""
        return f"{self.input_block}x{256 // self.input_block}"


class PoolKind(enum.IntEnum):
    """Pooling of a hardware stage."""

    MAX = 0
    AVERAGE = 1


class PadSide(enum.IntFlag):
    """Sides on which a padded hardware operation pads; no flag at all stands for all four."""

    ALL = 0
    RIGHT = 1
    BOTTOM = 2
    TOP = 4
    LEFT = 8


class PadMode(enum.IntEnum):
    """How a Pad stage fills the border."""

    CONSTANT = 0
    EDGE = 1
    REFLECT = 2
    SYMMETRIC = 3


class VolumePooling(enum.IntEnum):
    """Pooling in three dimensions."""

    MAX = 1
    AVERAGE = 2


class RoundMode(enum.IntEnum):
    """Where a Round stage takes what lies half way between two numbers."""

    HALF_TO_EVEN = 0
    HALF_AWAY_FROM_ZERO = 1


class RoiAlignMode(enum.IntEnum):
    """What a RoiAlign stage makes of the samples of a cell."""

    AVERAGE = 0
    MAX = 1


class RoiAlignStep(enum.IntEnum):
    """The part of its work that a RoiAlign stage does: of wide tensors the channels are packed in one of its own."""

    REPACKING = 0
    OF_REPACKED = 1
    WHOLE = 2


class CoordinateMode(enum.IntEnum):
    """How a resized grid maps to the original one."""

    HALF_PIXEL = 0
    PYTORCH_HALF_PIXEL = 1
    ASYMMETRIC = 2
    TF_HALF_PIXEL_FOR_NN = 3
    ALIGN_CORNERS = 4


class NearestMode(enum.IntEnum):
    """How a coordinate between two elements is rounded by a nearest resize."""

    ROUND_PREFER_FLOOR = 0
    ROUND_PREFER_CEIL = 1
    FLOOR = 2
    CEIL = 3
    SIMPLE = 4


class StageType(enum.IntEnum):
    """Stage types of the compiler; the numbers between belong to nobody."""

    CONV = 0
    MAX_POOL = 1
    AVG_POOL = 2
    SOFTMAX = 3
    FC = 4
    NONE = 5
    RELU = 6
    DEPTH_CONV = 8
    BIAS = 9
    PRELU = 10
    LRN = 11
    SUM = 12
    PROD = 13
    MAX = 14
    SCALE = 15
    INNER_LRN = 18
    COPY = 19
    SIGMOID = 20
    TANH = 21
    DECONVOLUTION = 22
    ELU = 23
    POWER = 26
    TILE = 28
    REGION_YOLO = 29
    REORG_YOLO = 30
    PERMUTE = 34
    NORMALIZE = 35
    DETECTION_OUTPUT = 37
    MYRIAD_X_HW_OP = 38
    CTC_DECODER = 43
    LEAKY_RELU = 44
    BIAS_RELU = 45
    BIAS_LEAKY_RELU = 46
    SCALE_SHIFT = 47
    IM2COL_CONVOLUTION = 49
    HW_FC_RELAYOUT = 56
    CLAMP = 57
    REF_CONVOLUTION = 58
    GLOBAL_MAX_POOL = 60
    GRN = 61
    MVN = 62
    DEPTH_DECONV = 63
    PROPOSAL = 64
    ROI_POOLING = 65
    PSROI_POOLING = 66
    INTERP = 67
    MTCNN = 69
    LSTM_CELL = 70
    PAD = 71
    RESAMPLE = 72
    UPSAMPLING = 73
    DIV = 75
    MIN = 76
    SQUARED_DIFF = 77
    EQUAL = 78
    NOT_EQUAL = 79
    GREATER = 80
    GREATER_EQUAL = 81
    LESS = 82
    LESS_EQUAL = 83
    LOGICAL_NOT = 84
    LOGICAL_AND = 85
    LOGICAL_OR = 86
    LOGICAL_XOR = 87
    POW = 88
    FLOOR_MOD = 89
    SELECT = 90
    GEMM = 91
    LOG = 92
    REDUCE_AND = 93
    REVERSE_SEQUENCE = 94
    GATHER = 100
    EXP = 101
    FLOOR = 102
    SCATTER_UPDATE = 103
    TOP_K = 104
    REDUCE_MIN = 105
    EXP_DETECTION_OUTPUT = 106
    NON_MAX_SUPPRESSION = 107
    ROI_FEATURE_EXTRACTOR = 108
    SC_RELU = 109
    ERF = 110
    CONVERT = 111
    REDUCE_MAX = 112
    REDUCE_SUM = 113
    REDUCE_MEAN = 114
    CUSTOM = 115
    CONV_ND = 116
    ONE_HOT = 117
    POOL_ND = 118
    LOOP_START = 119
    LOOP_END = 120
    EXP_PRIOR_GRID_GENERATOR = 121
    NON_ZERO = 122
    ROI_ALIGN = 123
    EXP_GENERATE_PROPOSALS = 124
    EXP_TOP_K_ROIS = 125
    SCATTER_ELEMENTS_UPDATE = 126
    OUT_SHAPE_OF_RESHAPE = 127
    CONCAT = 128
    BROADCAST = 129
    STATIC_SHAPE_NMS = 130
    MISH = 131
    GELU = 132
    STRIDED_SLICE = 133
    SOFT_PLUS = 134
    SWISH = 135
    GATHER_ND = 136
    H_SWISH = 137
    CEILING = 138
    GATHER_ELEMENTS = 139
    ROUND = 140
    CTC_GREEDY_DECODER_SEQ_LEN = 141
    ABS = 142
    CUM_SUM = 143


NO_POST_OPERATION: Final = -1
"""Word of an element-wise stage without a merged activation."""

ELEMENTWISE: Final = frozenset(
    StageType(value) for value in (12, 13, 14, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90)
)
DMA: Final = frozenset({StageType.COPY, StageType.LOOP_START, StageType.LOOP_END})


def stage_name(number: int) -> str:
    """Name of a stage type as the compiler's sources spell it, or ``"unknown stage type 999"``."""
    try:
        name = StageType(number).name
    except ValueError:
        return f"unknown stage type {number}"
    if number == StageType.MYRIAD_X_HW_OP:
        return "MyriadXHwOp"
    return "".join(part.capitalize() if len(part) > 2 else part.title() for part in name.split("_"))
