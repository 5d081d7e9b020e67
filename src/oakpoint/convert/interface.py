"""What an ONNX network takes: shapes fixed by name, and which of its inputs are images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import onnx
from onnx import TensorProto, helper

from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.errors import ConversionError, UsageError, first_line

Layout = Literal["nchw", "nhwc"]
Shapes = Mapping[str, tuple[int | str, ...]]
"""Input name → its shape; a name in place of a number is a dimension left open."""

MAX_CHANNELS: Final = 4
"""Of an image: grey, two planes, colour, colour with a fourth."""

_IMAGE_KINDS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.UINT8}

_ONE_BY_ONE = {
    "Add", "Cast", "Clip", "Div", "Identity", "Mul", "Neg", "Pad", "QuantizeLinear", "DequantizeLinear", "Sub",
}  # fmt: skip
"""Operators that leave every value at its place, or add values around: the layout is the same behind them."""

_SPATIAL = {"Conv", "MaxPool", "AveragePool", "BatchNormalization", "SpaceToDepth", "InstanceNormalization", "PRelu"}
"""Operators that take channels second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """An input that looks like an image.

    Attributes:
        name: of the tensor.
        layout: ``NCHW``: channels before rows and columns; ``NHWC``: behind them.
        channels: 1 to 4; None where neither the shape nor the first layer tells.
        size: (W, H) in pixels, None for what is open.
        why: what the layout was found out from, in a clause.
    """

    name: str
    layout: Layout
    channels: int | None
    size: tuple[int | None, int | None]
    why: str


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """The name and the shape in ``NAME=1x3x320x320``; a name may hold ``=``.

    Raises:
        UsageError: something else.
    """
    name, _, sizes = text.rpartition("=")
    if not name or not re.fullmatch(r"\d+([x×,]\d+)*", sizes.strip().lower()):
        raise UsageError(f"shape: expected NAME=1x3x320x320, got {text!r}")
    shape = tuple(int(size) for size in re.split(r"[x×,]", sizes.strip().lower()))
    if not all(shape):
        raise UsageError(f"shape: expected sizes of 1 or more, got {text!r}")
    return name.strip(), shape


def image_inputs(model: onnx.ModelProto) -> tuple[ImageInput, ...]:
    """The inputs that look like images: four dimensions, of which one that may be channels has 1 to 4.

    The first layer behind an input tells its layout where it is of a kind that has one: a convolution takes channels
    second, a ``Transpose`` says where they go. Otherwise the shape does: channels are the last dimension if that is 1
    to 4 and the second is not, and the second if not; where both may be, as of (1, 3, 4, 4), they are taken to be the
    second.
    """
    found = (_image(model.graph, value) for value in model.graph.input)
    return tuple(image for image in found if image is not None)


def fixed(model: onnx.ModelProto, shapes: Shapes) -> onnx.ModelProto:
    """The same network with its inputs at fixed shapes, and the shapes of its outputs as they follow.

    Operators stay as they are. An output whose size the values decide keeps it open.

    Args:
        model: left unchanged.
        shapes: of every input; the batch may be left open.

    Raises:
        ConversionError: the network does not take inputs of these shapes.
    """
    fitted = onnx.ModelProto.FromString(model.SerializeToString())
    graph = fitted.graph
    for value in graph.input:
        value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shapes[value.name]))
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    settled = onnx.ModelProto.FromString(fitted.SerializeToString())
    try:
        apply_all(settled, (InlinedFunctions(), Initialisers(), FoldedConstants()))  # sizes follow from arithmetic
        settled = onnx.shape_inference.infer_shapes(settled, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        said = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
        raise ConversionError(f"the network does not take inputs of {said} ({first_line(error)})") from error
    known = {value.name: value for value in settled.graph.output}
    for output in graph.output:
        output.type.CopyFrom(known[output.name].type)
    return fitted


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    dimensions = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param or "?" for d in dimensions]


def _listed(inputs: Mapping[str, Sequence[int | str]]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in inputs.items()) or "none"


def _image(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> ImageInput | None:
    shape = _dimensions(value)
    if value.type.tensor_type.elem_type not in _IMAGE_KINDS or len(shape) != 4:
        return None
    layout, channels, why = _by_first_layer(graph, value.name)
    if layout is None:
        second, last = _may_be_channels(shape[1]), _may_be_channels(shape[3])
        if not second and not last:
            return None
        layout = "nhwc" if last and not second else "nchw"
        both = second and last
        why = f"its shape, {_listed({value.name: shape})}" + (
            ", where the second or the last may be channels" if both else ""
        )
    place = 1 if layout == "nchw" else 3
    known = shape[place] if isinstance(shape[place], int) else channels
    if known is not None and not _may_be_channels(known):
        return None
    rows, columns = shape[2:] if layout == "nchw" else shape[1:3]
    size = (columns if isinstance(columns, int) else None, rows if isinstance(rows, int) else None)
    return ImageInput(name=value.name, layout=layout, channels=known, size=size, why=why)  # type: ignore[arg-type]


def _may_be_channels(size: int | str) -> bool:
    return isinstance(size, int) and 1 <= size <= MAX_CHANNELS


def _by_first_layer(graph: onnx.GraphProto, name: str) -> tuple[Layout | None, int | None, str]:
    """Layout and channels by the first layer behind an input that has a say in them."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    reached = {name}
    for node in graph.node:  # in the order of execution
        if not reached.intersection(node.input):
            continue
        label = f"the first layer, {node.op_type}"
        if node.op_type == "Transpose":
            order = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])
            if order == [0, 3, 1, 2]:
                return "nhwc", None, label
            if order == [0, 2, 3, 1]:
                return "nchw", None, label
        if node.op_type in _SPATIAL and node.input[0] in reached:
            if node.op_type != "Conv" or node.input[1] not in weights:
                return "nchw", None, label
            group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            return "nchw", int(weights[node.input[1]].dims[1] * group), label
        if node.op_type in _ONE_BY_ONE:
            reached.update(node.output)
    return None, None, ""
