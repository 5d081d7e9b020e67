"""What an ONNX network takes and gives: inputs and outputs, shapes fixed by name, and which inputs are images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import onnx
from onnx import TensorProto, helper

from oakpoint.bundle.interface import TensorSpec
from oakpoint.convert.rewrites.base import apply_all
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.errors import ConversionError, UsageError, first_line

Layout = Literal["nchw", "nhwc"]
Shapes = Mapping[str, tuple[int, ...]]
OpenShapes = Mapping[str, tuple[int | str, ...]]
"""As ``Shapes``, where a name in place of a number is a dimension left open."""

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


def input_shapes(
    model: onnx.ModelProto, given: Shapes, *, size: tuple[int, int] | None = None, batch: int = 1
) -> dict[str, tuple[int, ...]]:
    """A shape of numbers for every input.

    Args:
        model: the network.
        given: shapes by name, as ``--shape`` gives them.
        size: (W, H) in pixels of the inputs that look like images.
        batch: what an open first dimension becomes where nothing else says so.

    Raises:
        UsageError: a name that is no input, another number of dimensions, or a dimension that stays open; the message
            lists the inputs, what is open, and the option that settles it.
    """
    inputs = {value.name: _dimensions(value) for value in model.graph.input}
    for name, shape in given.items():
        if name not in inputs:
            raise UsageError(f"shape: no input is called {name!r}; there are {_listed(inputs)}")
        if len(shape) != len(inputs[name]):
            raise UsageError(f"shape: expected {len(inputs[name])} dimensions for {_listed({name: inputs[name]})}, got "
                             + "x".join(map(str, shape)))  # fmt: skip
    images = {image.name: image for image in image_inputs(model)}
    symbols = {
        symbol: number
        for name, shape in given.items()
        for symbol, number in zip(inputs[name], shape, strict=True)
        if isinstance(symbol, str) and symbol != "?"
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, dimensions in inputs.items():
        sized = _sized(dimensions, images.get(name), size)
        filled = [symbols.get(d, d) if isinstance(d, str) else d for d in given.get(name, sized)]
        if filled and isinstance(filled[0], str):
            filled[0] = batch
        shapes[name] = tuple(number for number in filled if isinstance(number, int))
        if len(shapes[name]) != len(filled):
            raise UsageError(_what_is_open({name: inputs[name]}, filled, images.get(name)))
    return shapes


def fixed(model: onnx.ModelProto, shapes: OpenShapes) -> onnx.ModelProto:
    """The same network with its inputs at fixed shapes, and the shapes of its outputs as they follow.

    Operators stay as they are. An output whose size the values decide keeps it open.

    Args:
        model: left unchanged.
        shapes: of every input, see ``input_shapes``; the batch may be left open.

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


def interface_of(model: onnx.ModelProto) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs as the model declares them, a dimension that is open by its name or as ``?``.

    Raises:
        ConversionError: an input or output that is no tensor (a sequence, say).
    """
    return tuple(map(_spec, model.graph.input)), tuple(map(_spec, model.graph.output))


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.elem_type:
        kind = value.type.WhichOneof("value") or "nothing"
        raise ConversionError(
            f"{value.name}: expected a tensor, got {kind.removesuffix('_type')}; put out tensors alone"
        )
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, kind.name, tuple(_dimensions(value)))


def _dimensions(value: onnx.ValueInfoProto) -> list[int | str]:
    dimensions = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else d.dim_param or "?" for d in dimensions]


def _sized(
    dimensions: Sequence[int | str], image: ImageInput | None, size: tuple[int, int] | None
) -> Sequence[int | str]:
    if image is None:
        return dimensions
    first = 2 if image.layout == "nchw" else 1
    sized = list(dimensions)
    if size is not None:
        sized[first : first + 2] = [size[1], size[0]]
    channels = 1 if image.layout == "nchw" else 3
    if isinstance(sized[channels], str) and image.channels is not None:
        sized[channels] = image.channels
    return sized


def _listed(inputs: Mapping[str, Sequence[int | str]]) -> str:
    return ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in inputs.items()) or "none"


def _what_is_open(
    inputs: Mapping[str, Sequence[int | str]], filled: Sequence[int | str], image: ImageInput | None
) -> str:
    name = next(iter(inputs))
    example = "x".join(str(number) if isinstance(number, int) else "…" for number in filled)
    opened = ", ".join(number if number != "?" else f"dimension {place}"
                       for place, number in enumerate(filled) if isinstance(number, str))  # fmt: skip
    sized = "--size WIDTHxHEIGHT or " if image is not None and image.channels is not None else ""
    return f"input {_listed(inputs)}: {opened} is open; give {sized}--shape {name}={example} with a number for each …"


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
