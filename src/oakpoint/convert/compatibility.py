"""Which operators of opset 13 the Myriad compiler takes, and what to do about the others.

Established by compiling one graph for each operator with ``myriad_compile`` 2021.3 (FP16, batch 1, four dimensions, and
the variants that networks use), and reading the compiler's words where it refused. Taken says nothing of right: what it
takes and computes differently is the matter of rewrites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx

from oakpoint.convert.rewrites.base import Rewrite, name_of
from oakpoint.errors import Finding, UnsupportedNetworkError

TAKEN: Final = frozenset({
    # one value at a time
    "Cast", "Ceil", "Clip", "Dropout", "Elu", "Erf", "Exp", "Floor", "Identity", "LeakyRelu", "Log", "Neg", "Not",
    "PRelu", "Reciprocal", "Relu", "Round", "Shrink", "Sigmoid", "Softplus", "Sqrt", "Tanh", "ThresholdedRelu",
    # two or more tensors
    "Add", "And", "Div", "Equal", "Greater", "Less", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum", "Where",
    # convolutions, pooling, norms, products
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "GlobalLpPool",
    "GlobalMaxPool", "InstanceNormalization", "LRN", "LpNormalization", "MatMul", "MaxPool", "RoiAlign",
    # along an axis
    "ArgMax", "ArgMin", "Hardmax", "LogSoftmax", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare", "Softmax", "TopK",
    # values moved, not changed
    "Concat", "Constant", "ConstantOfShape", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements",
    "GatherND", "OneHot", "Pad", "Reshape", "Resize", "ScatterElements", "Shape", "Size", "Slice", "SpaceToDepth",
    "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators that the compiler takes in their usual form."""

_SEQUENCES = "works on sequences of tensors, and the device knows single ones", "stack them into one tensor"
_TRIGONOMETRY = "no SHAVE kernel computes it", "compute it beforehand where its input is constant, or on the host"
_QUANTISED = (
    "is of a quantised network, and the device computes in FP16 alone",
    "convert the network in floating point, as it was before quantisation: 8 bits would not make it faster",
)
_CONTROL = (
    "runs a part of the network as often as values decide, and the device runs every layer once",
    "export the network with its repetitions written out, or for one case",
)
_BY_COUNT = (
    "gives as many elements as values decide, and the device needs a fixed number",
    "leave this step to the host: cut the network before it",
)

REFUSED: Final[dict[str, tuple[str, str]]] = {
    **dict.fromkeys(("Acos", "Asin", "Atan", "Cos", "Sin", "Tan"),
                    _TRIGONOMETRY),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
                     "QLinearConv", "QLinearMatMul"), _QUANTISED),
    **dict.fromkeys(("If", "Loop", "Scan"), _CONTROL),
    **dict.fromkeys(("Compress", "NonMaxSuppression", "NonZero", "Unique"), _BY_COUNT),
    **dict.fromkeys(("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
                     "SequenceInsert", "SequenceLength", "SequenceMap", "SplitToSequence", "Optional",
                     "OptionalGetElement", "OptionalHasElement"), _SEQUENCES),
    "DeformConv": ("the device has no deformable convolutions", "replace it by a convolution and train on"),
    "Einsum": ("the compiler does not know it", "write it as Transpose, MatMul and Reshape (torch.matmul, torch.bmm)"),
    "GridSample": (
        "the device cannot read an image at places that are computed",
        "leave the sampling to the host: put out the tensor and the places",
    ),
    "MaxRoiPool": ("the compiler does not know it", "use RoiAlign, or leave this step to the host"),
    "MaxUnpool": ("the compiler does not know it", "use Resize or ConvTranspose in its place"),
    "Mod": ("the compiler does not know it", "write it as x − floor(x / y) · y; of whole numbers, on the host"),
    "ReverseSequence": ("its lengths reach the device in a type that it lacks", "reverse it with Slice, step −1"),
    "ScatterND": ("no SHAVE kernel computes it", "write the tensor with Concat and Slice, or with ScatterElements"),
}  # fmt: skip
"""Operators that no rewrite helps: what is wrong, and what a user can do."""


class KnownOperators(Rewrite):
    """Find the layers that the compiler would refuse, all at once and before it is asked; nothing is changed."""

    name = "known-operators"

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        constants = {tensor.name for tensor in graph.initializer}
        constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
        findings = [_of_form(node, constants) or _of_kind(node) for node in graph.node]
        if found := [finding for finding in findings if finding is not None]:
            raise UnsupportedNetworkError(found)
        return ()


def _of_kind(node: onnx.NodeProto) -> Finding | None:
    if node.op_type in TAKEN:
        return None
    problem, remedy = REFUSED.get(
        node.op_type,
        ("the device's compiler does not take it", "write it with other operators, or leave it to the host"),
    )
    return Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy=remedy)


def _of_form(node: onnx.NodeProto, constants: set[str]) -> Finding | None:
    """Operators that are taken in their usual form, and have another."""
    problem = remedy = ""
    if node.op_type in ("Conv", "ConvTranspose") and node.input[1] not in constants:
        problem, remedy = "its weights are computed, and the device has to have them", "keep them as constants"
    elif node.op_type == "PRelu" and node.input[1] not in constants:
        problem, remedy = "its slopes are computed, and the device has to have them", "keep them as constants"
    elif node.op_type == "Dropout":  # others are taken out before
        problem, remedy = "it drops at random, as in training", "export the network in evaluation mode (eval())"
    elif node.op_type == "MaxPool" and any(node.output[1:]):
        problem, remedy = (
            "the device gives no indices of maxima",
            "unpool with Resize or ConvTranspose",
        )
    elif node.op_type in ("GRU", "LSTM", "RNN"):  # others are written out step by step before
        problem = "the length of its sequence is not known before the network runs, and each step is layers of its own"
        remedy = "fix it (--size, --shape), or keep the layer on the host: cut the network before it"
    elif node.op_type == "RoiAlign" and _text(node, "mode") == "max":
        problem, remedy = "what the device makes of mode max is not what ONNX asks for", "use mode avg"
    elif node.op_type == "Resize" and _text(node, "mode") == "cubic":
        problem, remedy = "the device resizes to the nearest pixel or linearly", "use mode linear"
    elif node.op_type == "Resize" and _text(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
        problem, remedy = "the device resizes whole tensors", "cut the region out with Slice first"
    else:
        return None
    return Finding(layer=name_of(node), operator=node.op_type, problem=problem, remedy=remedy)


def _text(node: onnx.NodeProto, name: str) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == name), "")
