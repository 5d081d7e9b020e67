"""ONNX → NN archive around it."""

from __future__ import annotations

from dataclasses import replace

from onnx import save

from oakpoint.bundle.records import StageReport
from oakpoint.chain.making import ONNX_FILE, Making
from oakpoint.convert.archive_from_onnx import MODEL_NAME, write_onnx_archive
from oakpoint.convert.device_graph import device_inputs, host_graph_with_heads
from oakpoint.convert.onnx_intake import host_tensors
from oakpoint.tasks.base import AS_THEY_ARE

ONNX_ARCHIVE_FILE = "model.onnx.tar.xz"


def make_onnx_archive(making: Making) -> str:
    """Pack the ONNX as it is, or with the heads that were asked for, for converters that go on from there."""
    source = making.folder / ONNX_FILE
    model, outputs = source.read_bytes(), making.interface.outputs
    if making.device.heads != AS_THEY_ARE:
        heads = making.task.device_rewrites(making.device, making.interface)
        with_heads = making.folder / f"heads-{MODEL_NAME}"
        save(host_graph_with_heads(source, device_inputs(making.interface), heads), with_heads)
        model, (_, outputs) = with_heads.read_bytes(), host_tensors(with_heads)
        with_heads.unlink()
    interface = replace(making.interface.at(making.size, batch=1), outputs=outputs).with_outputs_at(1)
    tool = write_onnx_archive(
        model,
        making.folder / ONNX_ARCHIVE_FILE,
        name=making.title,
        interface=interface,
        heads=making.task.archive_heads(interface.outputs, making.device),
    )
    parents = making.hashes("onnx")
    making.add("onnx_archive", (ONNX_ARCHIVE_FILE,), interface, parents=parents, tool=tool, command="tar, xz")
    return tool


def judge_onnx_archive(making: Making) -> StageReport:
    """Compare what is in it, fed as it says, with the ONNX."""
    return making.verifier.archive_of_onnx(making.folder / ONNX_FILE, making.folder / ONNX_ARCHIVE_FILE, making.device)
