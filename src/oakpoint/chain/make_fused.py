"""ONNX → ONNX with decoding in it: levels of an image in, keypoints, scores and descriptors out."""

from __future__ import annotations

from onnx import __version__ as onnx_version
from onnx import load, save

from oakpoint.bundle.interface import OPEN_BATCH
from oakpoint.bundle.records import StageReport
from oakpoint.chain.making import ONNX_FILE, Making
from oakpoint.errors import ConversionError, UsageError
from oakpoint.tasks.keypoints.fused.decoding import require_resolved
from oakpoint.tasks.keypoints.fused.model import fused_interface, fused_model
from oakpoint.tasks.keypoints.task import Keypoints

FUSED_FILE = "model.fused.onnx"


def make_fused(making: Making) -> str:
    """Write the network with its decoding, or note why there is no such graph of it: that is no failure."""
    task = making.task
    assert isinstance(task, Keypoints), "other networks are not asked for it"
    try:
        if making.interface.batch not in (OPEN_BATCH, 1):
            raise UsageError(f"decoding graph: takes images one by one, the network {making.interface.batch} at a time")
        require_resolved(task.decode)
        interface = making.interface.at(making.size, batch=1)
        model = fused_model(load(making.folder / ONNX_FILE), interface, task)
    except (UsageError, ConversionError) as error:
        making.not_made["fused"] = str(error)
        return f"not made: {error}"
    save(model, making.folder / FUSED_FILE)
    tool = f"onnx {onnx_version}"
    making.add(
        "fused",
        (FUSED_FILE,),
        fused_interface(interface),
        parents=making.hashes("onnx"),
        tool=tool,
        command="fused_model",
    )
    return tool


def judge_fused(making: Making) -> StageReport:
    """Compare what it finds with what the ONNX and decoding in NumPy find."""
    return making.verifier.fused_of_onnx(making.folder / ONNX_FILE, making.folder / FUSED_FILE)
