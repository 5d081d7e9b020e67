"""What ``device_graph`` and ``write_blob`` want to know of a keypoint network with one grey image."""

from __future__ import annotations

from pathlib import Path

import onnx

from oakpoint.convert.device_graph import DeviceInput
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.tasks.keypoints.heads.base import Heads
from oakpoint.tasks.keypoints.heads.registry import KeypointHeads
from oakpoint.tasks.keypoints.task import INPUT


def device_form(
    path: Path, size: tuple[int, int], *, scale: float = 1 / 255, heads: Heads | None = None
) -> tuple[list[DeviceInput], list[Rewrite]]:
    """Inputs and heads for a network in a file; of one that cannot be read the input is called as in the chain."""
    try:
        name = onnx.load(path, load_external_data=False).graph.input[0].name
    except Exception:  # noqa: BLE001 - what is wrong with it is for those to say who are given it
        name = INPUT
    grey = DeviceInput(name=name, shape=(1, 1, size[1], size[0]), scale=scale)
    return [grey], [KeypointHeads(heads or Heads("dense"), size)]
