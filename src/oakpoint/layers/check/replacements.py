"""What to train a network with in the place of layers that the Myriad X does not take, and what that costs.

Only operators that can be refused are here, by our own findings or by the compiler; what a rewrite brings to the device
(a layer norm, HardSwish, Gelu, attention of four dimensions) needs nothing in its place, but has an entry all the same
where the compiler may refuse what it is spelt out into. That each replacement compiles was found by trial with
``myriad_compile`` 2021.3; ``tests/contract/test_replacements`` tries them again, and executes them.

Prices are weights and multiplications against what is replaced; C is the number of channels, k the side of a kernel.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

import onnx

Only = Literal["", "computed", "places"]
"""Of which layers a replacement is one: of any, of those whose weights are computed, of pools that give places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """What may take the place of an operator in a network that is trained anew.

    Attributes:
        name: tells it from others.
        operators: of the user's network, or of what it is spelt out into.
        instead: what to put in their place.
        price: what that costs or saves, in a clause.
        reason: why the operator is no good on the device, for whoever reads this table.
        ranks: of the operator's first input; empty for any.
        only: of which of these layers.
    """

    name: str
    operators: frozenset[str]
    instead: str
    price: str
    reason: str
    ranks: Collection[int] = ()
    only: Only = ""

    def __str__(self) -> str:
        """As a remedy."""
        return f"train without it: {self.instead} ({self.price})"

    def is_for(self, node: onnx.NodeProto, operator: str, rank: int | None, constants: Collection[str]) -> bool:
        """Whether it may take a layer's place; see ``replacement_for``."""
        if operator not in self.operators or (self.ranks and rank not in self.ranks):
            return False
        if self.only == "computed":
            return len(node.input) > 1 and node.input[1] not in constants
        return self.only != "places" or any(node.output[1:])


def _of(
    name: str, operators: str, instead: str, price: str, reason: str, ranks: Collection[int] = (), only: Only = ""
) -> Replacement:
    kinds = frozenset(operators.split())
    return Replacement(name=name, operators=kinds, instead=instead, price=price, reason=reason, ranks=ranks, only=only)


REPLACEMENTS: Final[tuple[Replacement, ...]] = (
    _of("sampling", "GridSample AffineGrid",
        "Resize or Slice where the places are the same for every image; where they are learned, three 3x3 convolutions "
        "of dilation 1, 2 and 4, which see 15 px across",
        "Resize has no weights, the three convolutions 27·C²",
        "no stage reads an image at places that are computed"),
    _of("deformable", "DeformConv",
        "a convolution of the same kernel with dilation 2",
        "as many weights and multiplications, less the 2·k² channels of offsets that fall away",
        "as for sampling"),
    _of("dynamic filters", "Conv ConvTranspose",
        "a convolution with constant weights whose channels are multiplied with a Sigmoid of two 1x1 convolutions of "
        "the mean over the image",
        "C²/8 further weights for a bottleneck of C/16, and one product a value",
        "the weights lie in the blob",
        only="computed"),
    _of("convolution in 3-D", "Conv",
        "a 3-D convolution without groups over height and width alone (1xkxk) and one over depth (kx1x1)",
        "C²·(k² + k) weights and as many multiplications a value where there were C²·k³: for k = 3 less than half",
        "the compiler takes a 3-D convolution as several in two dimensions, and none with groups",
        (5,)),
    _of("transposed in 3-D", "ConvTranspose",
        "Resize to the nearest value, by 2 along each axis, and a 3-D convolution with a bias behind it",
        "27·C² weights for a kernel of 3, and Resize has none",
        "the compiler has no such convolution",
        (5,)),
    _of("linear resize in 3-D", "Resize Upsample",
        "Resize in mode nearest, and a convolution behind it",
        "no weights for Resize itself",
        "it is a product with a matrix for each axis, and the compiler's products have four dimensions at most",
        (5,)),
    _of("products of more than four dimensions", "MatMul Gemm",
        "the same product with its leading dimensions made one by Reshape (windows and heads: 1xNxRxC)",
        "nothing: no weights, the same multiplications",
        "the compiler's products have four dimensions at most",
        (5, 6, 7, 8)),
    _of("einsum", "Einsum",
        "Transpose, MatMul and Reshape (torch.matmul, torch.bmm)",
        "the same weights and multiplications",
        "the compiler does not read it"),
    _of("attention", "Attention MultiHeadAttention GroupQueryAttention",
        "a depthwise 7x7 convolution and a 1x1 convolution, as ConvNeXt has them; or attention written as MatMul and "
        "Softmax in four dimensions",
        "49·C + C² weights where attention has 4·C², and nothing grows with the square of the places",
        "the compiler does not read it as one operator"),
    _of("norms", "LayerNormalization GroupNormalization InstanceNormalization RMSNormalization "
        "SimplifiedLayerNormalization SkipLayerNormalization MeanVarianceNormalization LpNormalization",
        "BatchNorm behind a convolution, which goes into its weights; or a product with 1/sqrt of the mean of squares "
        "over the channels",
        "a batch norm costs nothing on the device, the mean of squares four layers",
        "they are spelt out in means, squares and roots, which are where FP16 ends first"),
    _of("activations", "HardSwish Gelu Mish Swish QuickGelu FastGelu BiasGelu Celu Selu HardSigmoid Elu Softplus "
        "Softsign Erf ThresholdedRelu",
        "Relu or Clip from 0 to 6, which run within the convolution before them; or x · Clip(x + 3, 0, 6) / 6",
        "no weights; the last is three layers",
        "they are layers of their own on the SHAVEs"),
    _of("waves", "Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh",
        "Tanh as an activation; waves of positions or times as constants, or a table and Gather",
        "no weights; a table has one number a value",
        "no SHAVE kernel computes them"),
    _of("spectra", "DFT STFT MelWeightMatrix HannWindow HammingWindow BlackmanWindow",
        "a 1-D convolution whose constant kernels are the cosines and sines, stride the hop",
        "2·N weights a frequency for windows of N",
        "the compiler does not read them"),
    _of("recurrence", "If Loop Scan LSTM GRU RNN",
        "a fixed number of steps, which oakpoint writes out; or convolutions along time of kernel 3 with dilations 1, "
        "2, 4 and 8, which see 31 steps",
        "12·C² weights where an LSTM has 8·C² and a GRU 6·C², and all steps at once",
        "every layer runs once"),
    _of("choosing", "NonZero Compress Unique",
        "a product with the mask, which keeps the size, or TopK of a fixed number; choose on the host",
        "no weights; all values are computed",
        "how many elements there are must be known before"),
    _of("suppression", "NonMaxSuppression",
        "MaxPool 3x3 of stride 1 and Equal for peaks of a map, TopK of a fixed number for lists; overlap of boxes on "
        "the host",
        "no weights; the pool is exact, and slow over large maps",
        "how many boxes there are must be known before"),
    _of("unpooling", "MaxUnpool",
        "Resize to twice the size and a 3x3 convolution, or a transposed convolution 2x2 of stride 2",
        "9·C² or 4·C² weights",
        "the device gives no places of maxima"),
    _of("places of maxima", "MaxPool",
        "the values alone, and Resize or a transposed convolution where they are put back",
        "9·C² weights for a 3x3 convolution behind Resize, or 4·C² for a transposed one of 2x2",
        "the device gives no places of maxima",
        only="places"),
    _of("regions", "MaxRoiPool RoiAlign RoiPool",
        "RoiAlign in mode avg and without the half pixel (aligned=False), or AveragePool over a fixed grid",
        "no weights",
        "the device has that one form"),
    _of("scattering", "ScatterND Scatter",
        "Concat of Slices, or Where with a constant mask",
        "no weights",
        "no SHAVE kernel computes it"),
    _of("folding back", "Col2Im",
        "a transposed convolution whose constant kernels hold a single one each",
        "k⁴ constants a channel, and as many products a value where Col2Im only adds",
        "the compiler does not read it"),
    _of("remainder", "Mod BitShift BitwiseAnd BitwiseOr BitwiseXor BitwiseNot",
        "x − Floor(x / y) · y",
        "four layers, no weights; rounding decides next to multiples of y",
        "the compiler does not read it"),
    _of("triangles", "Trilu EyeLike",
        "a product with a constant mask",
        "one number a value",
        "the compiler does not read it"),
    _of("order of time", "ReverseSequence",
        "Slice with step −1 over the whole length",
        "no weights",
        "its lengths come in a type that the device lacks"),
    _of("chance", "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial Dropout",
        "nothing, as networks are run, or noise as a further input",
        "no weights",
        "the device has no random numbers"),
    _of("quantised", "QuantizeLinear DequantizeLinear DynamicQuantizeLinear ConvInteger MatMulInteger QLinearConv "
        "QLinearMatMul QLinearAdd QGemm",
        "the same layers in floating point, as before they were quantised",
        "twice the weights' bytes, and no more time: the device computes in FP16 either way",
        "the device has no 8-bit arithmetic"),
    _of("sequences", "ConcatFromSequence SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert "
        "SequenceLength SequenceMap SplitToSequence Optional OptionalGetElement OptionalHasElement",
        "one tensor for all of them, by Concat, and Slice or Split",
        "no weights",
        "the device knows single tensors"),
    _of("slopes", "PRelu",
        "PRelu with a slope for each channel, or LeakyRelu",
        "C weights, or none",
        "slopes lie in the blob",
        only="computed"),
)  # fmt: skip
"""In the order in which they are looked for."""


def replacement_for(
    node: onnx.NodeProto, operator: str = "", *, rank: int | None = None, constants: Collection[str] = ()
) -> Replacement | None:
    """What to train with in a layer's place; None where nothing is known.

    Args:
        node: the layer.
        operator: another type than its own, of the layer in the user's network that it was spelt out of.
        rank: of its first input, where it is known.
        constants: names of the tensors that are constant.
    """
    return next(
        (known for known in REPLACEMENTS if known.is_for(node, operator or node.op_type, rank, constants)), None
    )
