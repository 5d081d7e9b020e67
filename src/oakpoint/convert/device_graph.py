"""The graph that the Myriad X runs, made from the host's ONNX: U8 in, FP16 inside, heads as the consumer wants them.

What goes wrong on the way to a blob is settled here, before the compiler sees the network, by a list of rewrites. Each
stands in a file of its own in ``rewrites/``, which says what it is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from oakpoint.bundle.interface import Input, Interface, TensorSpec
from oakpoint.bundle.records import Applied
from oakpoint.convert.compatibility import TAKEN, KnownOperators
from oakpoint.convert.onnx_intake import check_onnx
from oakpoint.convert.open_sizes import why_open
from oakpoint.convert.rewrites.base import Rewrite, apply_all
from oakpoint.convert.rewrites.fp16 import Fp16
from oakpoint.convert.rewrites.image.layout import InputLayout
from oakpoint.convert.rewrites.image.normalisation import InputNormalisation
from oakpoint.convert.rewrites.intake.empty_tensors import EmptyTensors
from oakpoint.convert.rewrites.intake.float32 import Float32
from oakpoint.convert.rewrites.intake.folding import FoldedConstants
from oakpoint.convert.rewrites.intake.one_form import Initialisers, InlinedFunctions
from oakpoint.convert.rewrites.intake.sizes import FixedShapes
from oakpoint.convert.rewrites.intake.spare_inputs import SpareInputs
from oakpoint.convert.rewrites.intake.whole_number_inputs import WholeNumberInputs
from oakpoint.convert.rewrites.operators.batch_norms import BatchNorms
from oakpoint.convert.rewrites.operators.fp16_range import Fp16Range
from oakpoint.convert.rewrites.operators.named_outputs import NamedOutputs
from oakpoint.convert.rewrites.operators.no_effect import NoEffect
from oakpoint.convert.rewrites.operators.registry import OPERATOR_REWRITES, REWRITTEN
from oakpoint.convert.rewrites.opset.batch_first import BatchFirst
from oakpoint.convert.rewrites.opset.earlier_opsets import EarlierOpset
from oakpoint.convert.rewrites.opset.functions import SpeltOut
from oakpoint.convert.rewrites.opset.later_forms import LaterForms
from oakpoint.convert.rewrites.opset.opset import DeviceOpset
from oakpoint.convert.rewrites.opset.reductions import ReductionAxes
from oakpoint.errors import ConversionError, UnsupportedNetworkError, first_line
from oakpoint.images.preprocess import Layout, PerChannel


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInput:
    """An input as the device gets it.

    Attributes:
        name: of the tensor.
        shape: of the host's model, all numbers, batch 1.
        scale: what the pixels 0–255 of an image are multiplied with, one factor or one for each channel; None for a
            tensor that is no image.
        mean: what is subtracted from them before, likewise.
        layout: of an image in the host's model; the device always has ``nchw``.
    """

    name: str
    shape: tuple[int, ...]
    scale: PerChannel | None = None
    mean: PerChannel = 0.0
    layout: Layout = "nchw"


def device_inputs(interface: Interface) -> tuple[DeviceInput, ...]:
    """The inputs of a host's model as the device gets them: batch 1, images at their size."""
    return tuple(_device_input(given) for given in interface.inputs)


def _device_input(given: Input) -> DeviceInput:
    preprocess = given.preprocess
    if preprocess is None:
        shape = tuple(side if isinstance(side, int) else 1 for side in given.tensor.shape)
        return DeviceInput(name=given.tensor.name, shape=shape)
    return DeviceInput(
        name=given.tensor.name,
        shape=preprocess.tensor_shape,
        scale=1.0 if preprocess.baked else preprocess.scale,
        mean=0.0 if preprocess.baked else preprocess.mean,
        layout=preprocess.layout,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceGraph:
    """What the compiler is given.

    Attributes:
        model: FP16 inputs and outputs (packed ones int32), opset 13, static shapes, batch 1; images hold 0–255.
        rewrites: what was done to the host's model, in order.
        images: names of the inputs that take an image; None where all do.
    """

    model: onnx.ModelProto
    rewrites: tuple[Applied, ...]
    images: tuple[str, ...] | None = None


def host_rewrites(inputs: Sequence[DeviceInput]) -> tuple[Rewrite, ...]:
    """What brings a host's model to the device's opset and shapes; its numbers stay the host's."""
    return (
        InlinedFunctions(),
        Initialisers(),
        Float32(),
        FixedShapes({given.name: given.shape for given in inputs}),
        EarlierOpset(),
        FoldedConstants(),
        WholeNumberInputs(),
        SpeltOut(TAKEN | REWRITTEN),
        FoldedConstants(),
        LaterForms(),
        ReductionAxes(),
        BatchFirst(),
        DeviceOpset(),
        NoEffect(),
    )


def device_rewrites(inputs: Sequence[DeviceInput], heads: Sequence[Rewrite]) -> tuple[Rewrite, ...]:
    """Every rewrite from the host's model to the device graph, in order."""
    images = [step for given in inputs for step in image_rewrites(given)]
    return (
        *host_rewrites(inputs),
        BatchNorms(),
        *images,
        SpareInputs(),
        EmptyTensors(),
        *OPERATOR_REWRITES,
        *heads,
        NamedOutputs(),
        KnownOperators(),
        Fp16Range(),
        Fp16(),
    )


def image_rewrites(given: DeviceInput) -> tuple[Rewrite, ...]:
    """What lets an image come as the camera gives it; nothing for an input that is none."""
    if given.scale is None:
        return ()
    normalisation = InputNormalisation(given.name, given.mean, given.scale)
    return (InputLayout(given.name), normalisation) if given.layout == "nhwc" else (normalisation,)


def device_graph(source: Path, inputs: Sequence[DeviceInput], heads: Sequence[Rewrite] = ()) -> DeviceGraph:
    """Make the device graph of a host model.

    Args:
        source: the host's ONNX.
        inputs: its inputs as the device gets them.
        heads: rewrites that make of its outputs what the consumer reads.

    Raises:
        UnsupportedNetworkError: layers that the device does not take, all of them; or one whose size is not known
            before the network runs.
        ConversionError: no valid ONNX.
    """
    model = _read(source)
    journal = apply_all(model, device_rewrites(inputs, heads))
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        if finding := why_open(model):  # before the checker, which asks for the shape and not for the reason
            raise UnsupportedNetworkError([finding])
        onnx.checker.check_model(model)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ConversionError(f"the network has no valid FP16 form for the device: {first_line(error)}") from error
    images = tuple(given.name for given in inputs if given.scale is not None)
    return DeviceGraph(model=model, rewrites=journal, images=images if len(images) < len(inputs) else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSource:
    """What a device graph is made from.

    Attributes:
        path: the host's ONNX, or the device's part of one that was cut.
        interface: what that takes, as the host's models do.
        heads: see ``device_graph``.
    """

    path: Path
    interface: Interface
    heads: Sequence[Rewrite] = ()

    def graph(self) -> DeviceGraph:
        """The device graph; see ``device_graph``."""
        return device_graph(self.path, device_inputs(self.interface), self.heads)

    def on_host(self) -> onnx.ModelProto:
        """The host's form of the same; see ``host_graph_with_heads``."""
        return host_graph_with_heads(self.path, device_inputs(self.interface), self.heads)


def in_float32(graph: DeviceGraph) -> onnx.ModelProto:
    """A device graph that a runtime of the host executes as exactly as it can: the device's own constants, as float32.

    What differs from the host's model is then what the rewrites did to it, and the rounding of constants to FP16.

    Returns:
        A model with float32 inputs and outputs (packed ones int32); images hold 0–255.
    """
    model = onnx.ModelProto.FromString(graph.model.SerializeToString())
    for tensor in model.graph.initializer:
        _widen(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.HasField("t"):
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.value_info[:]
    return model


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


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
        check_onnx(model)
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
