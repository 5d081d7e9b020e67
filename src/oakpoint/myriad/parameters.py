"""Parameters of a stage: one frozen dataclass for each layout, decoded from the words of the blob.

Every class names its layout in ``FORMAT`` (see :mod:`struct`; all words are 4 bytes, little endian), field by field;
:mod:`oakpoint.myriad.decoding` says which stage type has which.

Source: ``serializeParamsImpl`` of each stage in ``graph_transformer/src/stages`` and ``src/middleend/passes``, OpenVINO
tag 2021.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar


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
class PoolNdParameters(Parameters):
    """Pooling in three dimensions: four lists (a 3, then x, y, z) of kernel, padding before, after, stride."""

    FORMAT: ClassVar[str] = "16I4I"
    lists: tuple[int, ...]
    interleaved: int
    method: int
    rounding: int
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
class GatherNdParameters(Parameters):
    """Picking by index vectors: how many of the outermost axes data and indices have in common."""

    FORMAT: ClassVar[str] = "i"
    batch_dims: int


@dataclass(frozen=True, slots=True)
class OneHotParameters(Parameters):
    """The new axis, counted from the innermost of the output, its length, and the two values on it."""

    FORMAT: ClassVar[str] = "iI2f"
    axis: int
    depth: int
    on_value: float
    off_value: float


@dataclass(frozen=True, slots=True)
class StridedSliceParameters(Parameters):
    """Bit k of a mask is about axis k from the outermost; the last three are for axes that come, go or are meant.

    Compilers before 2021 write the first two words alone.
    """

    FORMAT: ClassVar[str] = "5I"
    begin_mask: int
    end_mask: int
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    ellipsis_mask: int = 0


@dataclass(frozen=True, slots=True)
class RoiAlignParameters(Parameters):
    """Regions resampled to one size; mode and step as in :mod:`oakpoint.myriad.format`."""

    FORMAT: ClassVar[str] = "3If2I"
    width: int
    height: int
    sampling_ratio: int
    spatial_scale: float
    mode: int
    step: int


@dataclass(frozen=True, slots=True)
class RoundParameters(Parameters):
    """Rounding of halves; modes as in :mod:`oakpoint.myriad.format`."""

    FORMAT: ClassVar[str] = "i"
    mode: int


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
