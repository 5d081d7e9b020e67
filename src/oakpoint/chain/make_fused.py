"""ONNX → ONNX with decoding in it: levels of an image in, keypoints, scores and descriptors out."""

from __future__ import annotations

from typing import Any

from onnx import __version__ as onnx_version
from onnx import load, save

from oakpoint.bundle.interface import OPEN_BATCH, Interface
from oakpoint.bundle.records import StageReport
from oakpoint.chain.making import ONNX_FILE, Making
from oakpoint.errors import UsageError
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.fused.decoding import require_resolved
from oakpoint.tasks.keypoints.fused.model import fused_interface, fused_model
from oakpoint.tasks.keypoints.task import Keypoints, require_keypoints

FUSED_FILE = "model.fused.onnx"


def require_fusible(task: Task[Any], interface: Interface, of: str) -> None:
    """Refuse what can have no decoding graph, as far as that is known before there is an ONNX.

    Raises:
        UsageError: another task, several inputs, a fixed batch, or options of decoding that a graph does not have.
    """
    keypoints = require_keypoints(task, of, "leave out --fused")
    require_resolved(keypoints.decode)
    fused_interface(interface)
    if interface.batch not in (OPEN_BATCH, 1):
        raise UsageError(f"{of}: a decoding graph takes one image, the network {interface.batch}; leave out --fused")


def make_fused(making: Making) -> str:
    """Write the network with its decoding, for the bundle's size and options."""
    assert isinstance(making.task, Keypoints), "asked before the first step"
    interface = making.interface.at(making.size, batch=1)
    save(fused_model(load(making.folder / ONNX_FILE), interface, making.task), making.folder / FUSED_FILE)
    tool, taken = f"onnx {onnx_version}", fused_interface(interface)
    making.add("fused", (FUSED_FILE,), taken, parents=making.hashes("onnx"), tool=tool, command="fused_model")
    return tool


def judge_fused(making: Making) -> StageReport:
    """Compare what it finds with what the ONNX and decoding in NumPy find."""
    return making.verifier.fused_of_onnx(making.folder / ONNX_FILE, making.folder / FUSED_FILE)
