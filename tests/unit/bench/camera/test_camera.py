from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bench.camera.measuring import compare_with_simulator
from oakpoint.bundle.interface import TensorSpec, image_interface
from oakpoint.bundle.records import Verdict
from oakpoint.features.types import DecodeOptions
from oakpoint.images.preprocess import Preprocess
from oakpoint.oak.host_frames import HostFramesBackend
from oakpoint.oak.model import DeviceModel
from oakpoint.tasks.keypoints.task import Keypoints

SIZE, GRID = (96, 64), (8, 12)
TOP = 255


class Levels(Backend):
    """Heads ``packed`` without a network: each cell's best pixel is at the top level, its descriptor is the cell.

    Args:
        top: the level of that pixel in the first cell.
    """

    def __init__(self, top: int = TOP) -> None:
        self.description, self.outputs = "levels", ()
        self.inputs = (TensorSpec("input", "uint8", (1, 1, SIZE[1], SIZE[0])),)
        self._top = top

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        cells = tensors["input"].reshape(GRID[0], 8, GRID[1], 8).transpose(1, 3, 0, 2).reshape(64, *GRID)
        best = np.arange(64)[:, None, None] == cells.argmax(axis=0)
        levels = np.where(best, TOP, 1)
        first = levels[:, 0, 0]
        first[first == TOP] = self._top
        descriptors = np.maximum(cells[:16].astype(np.int64), 1)
        return {"heatmap_packed": packed(levels)[None], "descriptors_packed": packed(descriptors)[None]}


def packed(levels: NDArray[Any]) -> NDArray[np.int32]:
    """Byte i of channel c is channel i · C/4 + c, less 128."""
    parts = (levels.astype(np.int64) - 128).reshape(4, -1, *levels.shape[1:])
    return np.asarray(sum(part << 8 * index for index, part in enumerate(parts)), np.int32)


def judged(top: int) -> Verdict:
    rng = np.random.default_rng(3)
    preprocess = Preprocess(size=SIZE, resize="stretch", interpolation="area")
    model = SimpleNamespace(
        chained=lambda device: device,
        interface=image_interface("input", preprocess).on_device(),
        task=Keypoints(decode=DecodeOptions.preset("superpoint")),
    )
    return compare_with_simulator(
        cast(DeviceModel, model),
        Levels,
        lambda: cast(HostFramesBackend, Levels(top)),
        {"noise": rng.integers(0, 256, (SIZE[1], SIZE[0]), np.uint8)},
    ).verdict


def test_one_level_at_the_top_is_rounding() -> None:
    """0.027 of a probability."""
    assert judged(TOP) is Verdict.PASS
    assert judged(TOP - 1) is Verdict.PASS


def test_two_levels_at_the_top_are_not() -> None:
    assert judged(TOP - 2) is Verdict.FAIL
