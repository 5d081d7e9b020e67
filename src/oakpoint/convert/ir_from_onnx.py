"""ONNX to OpenVINO IR, weights stored as FP16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ConversionError
from oakpoint.runtimes import import_openvino


def write_ir(onnx: Path, xml: Path, *, input_shape: tuple[int, ...]) -> str:
    """Convert an ONNX file to IR: ``xml`` and, beside it, the ``.bin`` with FP16 weights.

    The shape is fixed, so that the sizes which follow from it fold away; a runtime may reshape the IR again.

    Args:
        onnx: the model.
        xml: the file to write, with the suffix ``.xml``.
        input_shape: (N, C, H, W).

    Returns:
        The tool that did it, with its version.

    Raises:
        ConversionError: OpenVINO cannot read or fold the model.
    """
    openvino = import_openvino()
    from openvino.passes import ConstantFolding, Manager

    try:
        model = openvino.Core().read_model(onnx)
        model.reshape({model.input(0): list(input_shape)})
        manager = Manager()
        manager.register_pass(ConstantFolding())
        manager.run_passes(model)
        openvino.save_model(model, xml, compress_to_fp16=True)
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot convert {onnx.name}: {_reason(error)}") from error
    return f"openvino {openvino.__version__.split('-')[0]}"


def ir_constants(xml: Path) -> list[NDArray[Any]]:
    """The floating-point constants of an IR with more than one value, as they are stored.

    Raises:
        ConversionError: OpenVINO cannot read the IR.
    """
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(xml)
        constants = [node.get_data() for node in model.get_ops() if node.get_type_name() == "Constant"]
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot read {xml.name}: {_reason(error)}") from error
    return [np.array(array) for array in constants if np.issubdtype(array.dtype, np.floating) and array.size > 1]


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
