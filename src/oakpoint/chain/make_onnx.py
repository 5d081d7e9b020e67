"""Torch or the user's ONNX → the ONNX that the chain starts from."""

from __future__ import annotations

from onnx import load

from oakpoint.bundle.records import StageReport
from oakpoint.chain.making import ONNX_FILE, Making
from oakpoint.convert.one_size import mark_one_size
from oakpoint.convert.output_operators import output_operators
from oakpoint.export import why_one_size
from oakpoint.models.host_onnx import write_host_onnx
from oakpoint.networks.registry import LoadedNetwork


def make_onnx(making: Making) -> str:
    """Write the host's ONNX, and find out what it takes and gives."""
    network, path = making.origin.network, making.folder / ONNX_FILE
    written = write_host_onnx(making.origin, path, title=making.title)
    command, note = ("take_onnx", "") if network is None else ("torch.onnx.export", _marked(making, network))
    making.modules = written.modules
    making.settle(written.interface, output_operators(load(path, load_external_data=False)))
    parents = (making.origin.parent,) if making.origin.parent else ()
    making.add("onnx", (ONNX_FILE,), written.interface, parents=parents, tool=written.tool, command=command)
    return written.tool + note


def _marked(making: Making, network: LoadedNetwork) -> str:
    """Mark an export that holds for its own size alone, and say so."""
    path = making.folder / ONNX_FILE
    if (size := making.size) is None:
        return ""
    if reason := why_one_size(network, path, making.interface, making.origin.outputs, size=size):
        mark_one_size(path, reason)
        return f", for {size[0]}x{size[1]} alone: {reason}"
    return ""


def judge_onnx(making: Making) -> StageReport:
    """Compare it with the torch network that it was exported from."""
    assert making.origin.network is not None, "what came as ONNX has nothing to be compared with"
    return making.verifier.onnx_of_torch(making.origin.network, making.folder / ONNX_FILE, making.origin.outputs)
