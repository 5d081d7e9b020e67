"""Torch or the user's ONNX → the ONNX that the chain starts from."""

from __future__ import annotations

from dataclasses import replace

from onnx import load

from oakpoint.bundle.interface import Interface
from oakpoint.bundle.records import StageReport
from oakpoint.chain.making import Making
from oakpoint.convert.one_size import mark_one_size
from oakpoint.convert.onnx_from_torch import export_onnx
from oakpoint.convert.onnx_intake import host_tensors, write_taken
from oakpoint.convert.output_operators import output_operators
from oakpoint.convert.weights_in_onnx import facts_of
from oakpoint.export import why_one_size
from oakpoint.networks.registry import LoadedNetwork

ONNX_FILE = "model.onnx"


def make_onnx(making: Making) -> str:
    """Write the host's ONNX, and find out what it takes and gives."""
    network, path = making.origin.network, making.folder / ONNX_FILE
    if network is not None:
        command, (tool, note) = "torch.onnx.export", _exported(making, network)
    else:
        assert making.origin.model is not None
        command, tool, note = "take_onnx", "oakpoint", ""
        write_taken(making.origin.model, path, making.origin.names)
    inputs, outputs = host_tensors(path)
    given = zip(making.interface.inputs, inputs, strict=True)
    interface = Interface(inputs=tuple(replace(own, tensor=spec) for own, spec in given), outputs=outputs)
    making.settle(interface, output_operators(load(path, load_external_data=False)))
    parents = (making.origin.parent,) if making.origin.parent else ()
    making.add("onnx", (ONNX_FILE,), interface, parents=parents, tool=tool, command=command)
    return tool + note


def _exported(making: Making, network: LoadedNetwork) -> tuple[str, str]:
    path = making.folder / ONNX_FILE
    tool = export_onnx(
        network.module,
        path,
        inputs=making.interface.tensors,
        outputs=making.origin.outputs,
        description=f"{making.title}: {network.weights.description()}",
        facts=facts_of(network.weights),
    )
    if (size := making.size) is None:
        return tool, ""
    if reason := why_one_size(network, path, making.interface, making.origin.outputs, size=size):
        mark_one_size(path, reason)
        return tool, f", for {size[0]}x{size[1]} alone: {reason}"
    return tool, ""


def judge_onnx(making: Making) -> StageReport:
    """Compare it with the torch network that it was exported from."""
    assert making.origin.network is not None, "what came as ONNX has nothing to be compared with"
    return making.verifier.onnx_of_torch(making.origin.network, making.folder / ONNX_FILE, making.origin.outputs)
