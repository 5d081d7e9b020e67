"""The graph that the Myriad X runs, made from the host's ONNX: U8 in, FP16 inside, heads as the consumer wants them.

What goes wrong on the way to a blob is settled here, before the compiler sees the network, by a list of rewrites. Each
stands in a file of its own in ``rewrites/``, which says what it is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import helper

from oakpoint.bundle.records import Applied, TensorSpec
from oakpoint.convert.open_sizes import why_open
from oakpoint.convert.rewrites.base import Rewrite, apply_all
from oakpoint.convert.rewrites.fp16 import Fp16
from oakpoint.convert.rewrites.input_scale import InputScale
from oakpoint.convert.rewrites.opset import DeviceOpset
from oakpoint.convert.rewrites.reductions import ReductionAxes
from oakpoint.convert.rewrites.sizes import FixedShapes
from oakpoint.errors import ConversionError, first_line
from oakpoint.images.preprocess import Preprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInput:
    """An input as the device gets it.

    Attributes:
        name: of the tensor.
        shape: all numbers, batch 1.
        scale: what the pixels 0–255 of an image are multiplied with; None for a tensor that is no image.
    """

    name: str
    shape: tuple[int, ...]
    scale: float | None = None


def image_input(name: str, preprocess: Preprocess) -> DeviceInput:
    """The input of a network that takes one image, whatever of its preprocessing the host's model leaves to others."""
    return DeviceInput(name=name, shape=(1, 1, preprocess.size[1], preprocess.size[0]), scale=preprocess.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceGraph:
    """What the compiler is given.

    Attributes:
        model: FP16 inputs and outputs (packed ones int32), opset 13, static shapes, batch 1; images hold 0–255.
        rewrites: what was done to the host's model, in order.
    """

    model: onnx.ModelProto
    rewrites: tuple[Applied, ...]


def host_rewrites(inputs: Sequence[DeviceInput]) -> tuple[Rewrite, ...]:
    """What brings a host's model to the device's opset and shapes; its numbers stay the host's."""
    return (
        FixedShapes({given.name: given.shape for given in inputs}),
        ReductionAxes(),
        DeviceOpset(),
    )


def device_rewrites(inputs: Sequence[DeviceInput], heads: Sequence[Rewrite]) -> tuple[Rewrite, ...]:
    """Every rewrite from the host's model to the device graph, in order."""
    scaled = [InputScale(given.name, given.scale) for given in inputs if given.scale is not None]
    return (*host_rewrites(inputs), *scaled, *heads, Fp16())


def device_graph(source: Path, inputs: Sequence[DeviceInput], heads: Sequence[Rewrite] = ()) -> DeviceGraph:
    """Make the device graph of a host model.

    Args:
        source: the host's ONNX.
        inputs: its inputs as the device gets them.
        heads: rewrites that make of its outputs what the consumer reads.

    Raises:
        ConversionError: no valid ONNX, an operator that opset 13 does not have, a first layer that the scale cannot be
            folded into, or a size that is not known before the network runs.
    """
    model = _read(source)
    journal = apply_all(model, device_rewrites(inputs, heads))
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ConversionError(f"the network has no valid FP16 form for the device: {first_line(error)}") from error
    if reason := why_open(model):
        raise ConversionError(reason)
    return DeviceGraph(model=model, rewrites=journal)


def host_graph_with_heads(source: Path, inputs: Sequence[DeviceInput], heads: Sequence[Rewrite]) -> onnx.ModelProto:
    """The host's float32 model with the outputs of the device graph: what a runtime gives in the camera's place.

    Args:
        source: the host's ONNX.
        inputs: see ``device_graph``; images come as the host's model takes them.
        heads: see ``device_graph``.

    Raises:
        ConversionError: see ``device_graph``.
    """
    model = _read(source)
    apply_all(model, (*host_rewrites(inputs), *heads))
    return model


def _read(source: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(source)
        onnx.checker.check_model(model)
    except Exception as error:
        raise ConversionError(f"{source}: not a valid ONNX model ({first_line(error)})") from error
    return model


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Name, type and shape of a graph output whose dimensions are all numbers."""
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, kind.name, static_shape(value))


def static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape of a graph input or output whose dimensions are all numbers."""
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
