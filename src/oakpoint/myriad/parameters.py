"""Parameters of a stage: one frozen dataclass for each layout, decoded from the words of the blob.

Every class names its layout in ``FORMAT`` (see :mod:`struct`; all words are 4 bytes, little endian), field by field. A
stage type without an entry keeps its words as :class:`RawParameters`.

Source: ``serializeParamsImpl`` of each stage in ``graph_transformer/src/stages`` and ``src/middleend/passes``, OpenVINO
tag 2021.3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from oakpoint.errors import BlobError
from oakpoint.myriad.format import ELEMENTWISE, StageType


@dataclass(frozen=True, slots=True)
class Parameters:
    """Base of the decoded parameters of a stage."""

    FORMAT: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class NoParameters(Parameters):
    """A stage that takes none."""


@dataclass(frozen=True, slots=True)
class RawParameters(Parameters):
    """Parameters of a stage type whose layout is not known here."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ConvParameters(Parameters):
    """A convolution on the SHAVEs; pixels of padding stand for the left and the top side only."""

    FORMAT: ClassVar[str] = "8I"
    kernel_x: int
    kernel_y: int
    stride_x: int
    stride_y: int
    pad_left: int
    pad_top: int
    dilation_x: int
    dilation_y: int


@dataclass(frozen=True, slots=True)
class DeconvParameters(Parameters):
    """A transposed convolution on the SHAVEs."""

    FORMAT: ClassVar[str] = "6I"
    kernel_x: int
    kernel_y: int
    stride_x: int
    stride_y: int
    pad_left: int
    pad_top: int


@dataclass(frozen=True, slots=True)
class PoolParameters(Parameters):
    """Pooling on the SHAVEs."""

    FORMAT: ClassVar[str] = "7I"
    kernel_x: int
    kernel_y: int
    stride_x: int
    stride_y: int
    pad_left: int
    pad_top: int
    exclude_pad: int


@dataclass(frozen=True, slots=True)
class AxisParameters(Parameters):
    """One axis, counted from the innermost one."""

    FORMAT: ClassVar[str] = "i"
    axis: int


@dataclass(frozen=True, slots=True)
class GatherElementsParameters(Parameters):
    """Picking by an index tensor; the axis counts from the outermost, unlike elsewhere."""

    FORMAT: ClassVar[str] = "2I"
    axis: int
    row_indices: int


@dataclass(frozen=True, slots=True)
class ReduceParameters(Parameters):
    """Whether the reduced axes stay, with size 1; which they are, a constant buffer says."""

    FORMAT: ClassVar[str] = "i"
    keep_dims: int


@dataclass(frozen=True, slots=True)
class ElementwiseParameters(Parameters):
    """Two or three operands; the first two words are floats for FP16 operands and integers for S32 ones."""

    FORMAT: ClassVar[str] = "4s4si3f"
    coefficient_0: bytes
    coefficient_1: bytes
    post_operation: int
    negative_slope: float
    minimum: float
    maximum: float

    def coefficients(self, *, integer: bool) -> tuple[float, float]:
        """The factors of the first and second operand."""
        code = "<i" if integer else "<f"
        first: float = struct.unpack(code, self.coefficient_0)[0]
        second: float = struct.unpack(code, self.coefficient_1)[0]
        return first, second


@dataclass(frozen=True, slots=True)
class ReluParameters(Parameters):
    """ReLU, leaky or with a bias."""

    FORMAT: ClassVar[str] = "If"
    with_bias: int
    negative_slope: float


@dataclass(frozen=True, slots=True)
class ClampParameters(Parameters):
    """Limits of a clamp."""

    FORMAT: ClassVar[str] = "2f"
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class PowerParameters(Parameters):
    """``(x * scale + bias) ** power``."""

    FORMAT: ClassVar[str] = "3f"
    bias: float
    scale: float
    power: float


@dataclass(frozen=True, slots=True)
class SlopeParameters(Parameters):
    """Factor of ELU's exponential or Swish's argument."""

    FORMAT: ClassVar[str] = "f"
    factor: float


@dataclass(frozen=True, slots=True)
class ConvertParameters(Parameters):
    """``x * scale + bias`` in another type."""

    FORMAT: ClassVar[str] = "2f2i"
    scale: float
    bias: float
    from_detection_output: int
    have_batch: int


@dataclass(frozen=True, slots=True)
class PermuteParameters(Parameters):
    """Axis k of the output, counted from the innermost, is axis ``order[k]`` of the input; -1 fills up."""

    FORMAT: ClassVar[str] = "8i"
    order: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PadParameters(Parameters):
    """Elements before and after each axis, innermost first, alternating."""

    FORMAT: ClassVar[str] = "8IfI"
    pads: tuple[int, ...]
    value: float
    mode: int


@dataclass(frozen=True, slots=True)
class NormalizeParameters(Parameters):
    """L2 normalisation with a scale."""

    FORMAT: ClassVar[str] = "2if"
    across_spatial: int
    channel_shared: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class MvnParameters(Parameters):
    """Mean and variance normalisation."""

    FORMAT: ClassVar[str] = "2if"
    normalize_variance: int
    across_channels: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class TileParameters(Parameters):
    """Repetition along an axis, counted from the innermost."""

    FORMAT: ClassVar[str] = "2i"
    axis: int
    tiles: int


@dataclass(frozen=True, slots=True)
class TopKParameters(Parameters):
    """Mode 0 takes the largest, 1 the smallest; sort 0 none, 1 by value, 2 by index."""

    FORMAT: ClassVar[str] = "5i"
    axis: int
    mode: int
    sort: int
    values: int
    indices: int


@dataclass(frozen=True, slots=True)
class ConcatParameters(Parameters):
    """Axis counted from the innermost, and the number of inputs."""

    FORMAT: ClassVar[str] = "2I"
    axis: int
    inputs: int


@dataclass(frozen=True, slots=True)
class GemmParameters(Parameters):
    """``alpha * A @ B + beta * C``."""

    FORMAT: ClassVar[str] = "2f3i"
    alpha: float
    beta: float
    three_inputs: int
    transpose_a: int
    transpose_b: int


@dataclass(frozen=True, slots=True)
class InterpParameters(Parameters):
    """Linear resize; mode and coordinate mode as in :mod:`oakpoint.myriad.format`."""

    FORMAT: ClassVar[str] = "3i"
    align_corners: int
    mode: int
    coordinate_mode: int


@dataclass(frozen=True, slots=True)
class ResampleParameters(Parameters):
    """Nearest resize."""

    FORMAT: ClassVar[str] = "if3i"
    antialias: int
    factor: float
    kind: int
    coordinate_mode: int
    nearest_mode: int


@dataclass(frozen=True, slots=True)
class UpsamplingParameters(Parameters):
    """Zeros between and around the elements, in elements; left and right of x, y, z."""

    FORMAT: ClassVar[str] = "9i"
    scale_x: int
    scale_y: int
    scale_z: int
    pad_left_x: int
    pad_right_x: int
    pad_left_y: int
    pad_right_y: int
    pad_left_z: int
    pad_right_z: int


@dataclass(frozen=True, slots=True)
class LrnParameters(Parameters):
    """Local response normalisation: size in channels, then k, alpha and beta as FP16 and two bytes of padding."""

    FORMAT: ClassVar[str] = "I4e"
    size: int
    k: float
    alpha: float
    beta: float
    padding: float


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
    _S.GEMM: GemmParameters,
    _S.INTERP: InterpParameters,
    _S.RESAMPLE: ResampleParameters,
    _S.UPSAMPLING: UpsamplingParameters,
}
_GATHERED: dict[type[Parameters], int] = {PermuteParameters: 8, PadParameters: 8}
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
    if layout.size != len(data):
        raise BlobError(f"parameters of {len(data)} bytes, expected {layout.size}")
    values: tuple[Any, ...] = layout.unpack(data)
    gathered = _GATHERED.get(kind, 0)
    build: Callable[..., Parameters] = kind
    return build(values[:gathered], *values[gathered:]) if gathered else build(*values)
