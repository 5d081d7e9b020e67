"""ONNX → device graph → Myriad X blob."""

from __future__ import annotations

from dataclasses import replace

from oakpoint.backends.registry import ModelSource
from oakpoint.bundle.records import StageReport
from oakpoint.chain.make_split import priced
from oakpoint.chain.making import BLOB_FILE, ONNX_FILE, Making
from oakpoint.convert.blob_from_onnx import compile_graph
from oakpoint.convert.oak_json import write_oak_json
from oakpoint.myriad.stage_map_file import stage_map_json

JSON_FILE, STAGES_FILE = "model.json", "model.stages.json"


def measure_heads(making: Making) -> str:
    """Measure what the heads have to know of the network."""
    making.device, note = making.task.measured_heads(
        making.options.heads, making.folder / ONNX_FILE, making.verifier.images, making.interface
    )
    return note


def make_device_graph(making: Making) -> str:
    """Rewrite the ONNX, or the part of it that is for the device, into what the compiler takes."""
    making.device_graph = making.device_source.graph()
    return ", ".join(applied.rewrite for applied in making.device_graph.rewrites)


def judge_device_graph(making: Making) -> StageReport:
    """Compare it with the ONNX, on the host: what fails here is a rewrite's fault, and not the compiler's."""
    assert making.device_graph is not None
    onnx, tail = making.folder / ONNX_FILE, making.host_tail
    return making.verifier.device_graph_of_onnx(
        onnx, making.device_graph, making.device, tail=tail, made_from=making.device_source
    )


def make_blob(making: Making) -> str:
    """Compile the device graph, and describe its outputs for the first DepthAI API."""
    assert making.device_graph is not None
    shaves = making.options.shaves
    compiled = compile_graph(making.device_graph, making.folder / BLOB_FILE, shaves=shaves)
    interface = replace(making.device_source.interface.on_device(), outputs=compiled.outputs)
    command = f"myriad_compile -ip U8 -VPU_NUMBER_OF_SHAVES {shaves} -VPU_NUMBER_OF_CMX_SLICES {shaves}"
    parents = making.hashes("onnx" if making.split is None else "device_part")
    making.add("blob", (BLOB_FILE,), interface, parents=parents, tool=compiled.tool, command=command)
    tool = write_oak_json(making.folder / JSON_FILE, compiled.outputs)
    parents = making.hashes("blob")
    making.add("oak_json", (JSON_FILE,), interface, parents=parents, tool=tool, command="write_oak_json")
    if compiled.stages is None:
        making.not_made = {**making.not_made, "stage_map": compiled.unmapped}
    else:
        (making.folder / STAGES_FILE).write_text(stage_map_json(compiled.stages))
        making.add("stage_map", (STAGES_FILE,), interface, parents=parents, tool=compiled.tool, command="stage_map")
    if making.split is not None:
        making.split = priced(making, making.split, compiled.outputs)
        return f"{compiled.tool}; {making.split.price()}"
    return compiled.tool


def judge_blob(making: Making) -> StageReport:
    """Compare it, executed, with the ONNX; of a network that was cut, with the tail behind it."""
    source = ModelSource(onnx=making.folder / ONNX_FILE, blob=making.folder / BLOB_FILE, tail=making.host_tail)
    return making.verifier.blob_of_onnx(source, making.device, making.device_source)
