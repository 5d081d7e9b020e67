"""ONNX → OpenVINO IR."""

from __future__ import annotations

from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.interface import OPEN_BATCH
from oakpoint.bundle.records import StageReport
from oakpoint.chain.making import ONNX_FILE, Making
from oakpoint.convert.ir_from_onnx import write_ir
from oakpoint.errors import ConversionError

XML_FILE, BIN_FILE = "model.xml", "model.bin"


def make_ir(making: Making) -> str:
    """Write the IR for the batch that was asked for."""
    fixed, batch = making.interface.batch, making.options.batch
    if fixed not in (OPEN_BATCH, batch):
        raise ConversionError(
            f"the network's export has its batch fixed to {fixed}, as torch could not leave it open, and "
            f"{batch} was asked for; give --batch {fixed}"
        )
    interface = making.interface.at(making.size, batch=batch).with_outputs_at(batch)
    shapes = [tuple(int(side) for side in spec.shape) for spec in interface.tensors]
    tool = write_ir(making.folder / ONNX_FILE, making.folder / XML_FILE, input_shapes=shapes)
    command = "save_model(compress_to_fp16=True)"
    making.add("ir", (XML_FILE, BIN_FILE), interface, parents=making.hashes("onnx"), tool=tool, command=command)
    return tool


def judge_ir(making: Making) -> StageReport:
    """Compare it with the ONNX."""
    source = ModelSource(onnx=making.folder / ONNX_FILE, ir=making.folder / XML_FILE)
    return making.verifier.ir_of_onnx(source)
