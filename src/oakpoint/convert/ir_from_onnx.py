"""ONNX to OpenVINO IR, weights stored as FP16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ConversionError, last_line
from oakpoint.runtimes import import_openvino

Shapes = Sequence[tuple[int, ...]]


def write_ir(onnx: Path, xml: Path, *, input_shapes: Shapes) -> str:
    """Convert an ONNX file to IR: ``xml`` and, beside it, the ``.bin`` with FP16 weights.

    The shape is fixed, so that the sizes which follow from it fold away; a runtime may reshape the IR again.

    Args:
        onnx: the model.
        xml: the file to write, with the suffix ``.xml``.
        input_shapes: of the inputs, in their order, all numbers.

    Returns:
        The tool that did it, with its version.

    Raises:
        ConversionError: OpenVINO cannot read or fold the model.
    """
    openvino = import_openvino()
    try:
        openvino.save_model(folded_model(onnx, input_shapes), xml, compress_to_fp16=True)
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot convert {onnx.name}: {last_line(error)}") from error
    return f"openvino {openvino.__version__.split('-')[0]}"


def folded_model(onnx: Path, input_shapes: Shapes) -> Any:
    """The model as OpenVINO reads it, its shape fixed and its constants computed; OpenVINO's own errors."""
    openvino = import_openvino()
    from openvino.passes import ConstantFolding, Manager

    model = openvino.Core().read_model(onnx)
    model.reshape({port: list(shape) for port, shape in zip(model.inputs, input_shapes, strict=True)})
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    return model


@dataclass(frozen=True, slots=True)
class GraphConstant:
    """A constant of a graph.

    Attributes:
        name: as the graph has it.
        values: as they are stored.
        weighs: whether a convolution or matrix product takes it.
    """

    name: str
    values: NDArray[Any]
    weighs: bool


def folded_constants(onnx: Path, input_shapes: Shapes) -> list[GraphConstant]:
    """The constants that an IR of an ONNX file is to hold, before any is rounded to FP16.

    Args:
        onnx: the model.
        input_shapes: those of the IR, in order.

    Raises:
        ConversionError: OpenVINO cannot read or fold the model.
    """
    import_openvino()
    try:
        return _constants(folded_model(onnx, input_shapes))
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot convert {onnx.name}: {last_line(error)}") from error


def ir_constants(xml: Path) -> list[GraphConstant]:
    """The constants of an IR, as they are stored.

    Raises:
        ConversionError: OpenVINO cannot read the IR.
    """
    return _constants(_read_ir(xml))


def ir_input_shapes(xml: Path) -> Shapes:
    """The shapes for which an IR was made, in the order of its inputs.

    Raises:
        ConversionError: OpenVINO cannot read the IR, or a shape is open.
    """
    shapes = [port.get_partial_shape() for port in _read_ir(xml).inputs]
    for shape in shapes:
        if shape.is_dynamic:
            raise ConversionError(f"{xml.name}: expected an input of one fixed shape, got {shape}")
    return [tuple(int(size.get_length()) for size in shape) for shape in shapes]


def is_of_this_openvino(xml: Path) -> bool:
    """Whether the OpenVINO that is installed wrote an IR: another one may fold constants otherwise."""
    return str(import_openvino().get_version()) in xml.read_text(errors="replace")


def _read_ir(xml: Path) -> Any:
    openvino = import_openvino()
    try:
        return openvino.Core().read_model(xml)
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot read {xml.name}: {last_line(error)}") from error


_WEIGHING = {
    "Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul",
}  # fmt: skip
_CARRYING = {"Convert", "Reshape", "Transpose", "Squeeze", "Unsqueeze"}
"""Between a constant and what takes it: FP16 weights are widened, those of groups reshaped."""

_COMPRESSED = "_compressed"
"""What OpenVINO puts behind the name of a constant that it stores as FP16."""


def _constants(model: Any) -> list[GraphConstant]:
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant":
            name = node.get_friendly_name().removesuffix(_COMPRESSED)
            found.append(GraphConstant(name, np.array(node.get_data()), weighs=_weighs(node)))
    return found


def _weighs(node: Any) -> bool:
    users = [user.get_node() for user in node.output(0).get_target_inputs()]
    return any(
        user.get_type_name() in _WEIGHING or (user.get_type_name() in _CARRYING and _weighs(user)) for user in users
    )
