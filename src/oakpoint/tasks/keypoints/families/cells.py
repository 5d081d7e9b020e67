"""``cells``: detector logits in cells of 8×8 px with a dustbin, and coarse descriptors, as SuperPoint has them."""

from __future__ import annotations

import numpy as np

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, FeaturesError
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS, DenseOutputs, HeatmapOutputs, Outputs
from oakpoint.tasks.keypoints.families.base import FEWEST_VALUES, Family, by_names, on_cells
from oakpoint.tasks.keypoints.fused.dense_part import BY_CELL, LOGITS_BY_CELL, settled_heatmap
from oakpoint.tasks.keypoints.heads.base import DESC, HEATMAP, SEMI
from oakpoint.tasks.keypoints.heads.registry import HEADS, outputs_of


class Cells(Family):
    """``semi`` (N, 65, H/8, W/8) and ``desc`` (N, D, H/8, W/8)."""

    name = "cells"
    heads = tuple(HEADS)
    step_px = CELL_PX
    tensors = (SEMI, DESC)

    def told_apart(self, outputs: tuple[TensorSpec, ...], image_size: tuple[int, int]) -> tuple[TensorSpec, ...] | None:
        """See ``Family.told_apart``."""
        shapes = {spec: spec.shape[1:] for spec in by_names(outputs, self.tensors) if len(spec.shape) == 4}
        return told_by_channels({spec: (s[0], s[1:]) for spec, s in shapes.items()}, len(outputs), image_size)

    def read(self, tensors: Tensors, *, activated: bool) -> Outputs:
        """See ``Family.read``: of whichever heads, their names tell."""
        del activated
        if set(tensors) == {HEATMAP, BY_CELL, LOGITS_BY_CELL}:
            heatmap = settled_heatmap(tensors[HEATMAP][0], tensors[LOGITS_BY_CELL][0])
            return HeatmapOutputs(heatmap, tensors[BY_CELL][0].transpose(2, 0, 1))
        return outputs_of(tensors)


class CellsLast(Family):
    """The same with channels last: ``semi`` (N, H/8, W/8, 65) and ``desc`` (N, H/8, W/8, D)."""

    name = "cells_last"
    step_px = CELL_PX
    tensors = (SEMI, DESC)
    descriptor_axis = -1

    def told_apart(self, outputs: tuple[TensorSpec, ...], image_size: tuple[int, int]) -> tuple[TensorSpec, ...] | None:
        """See ``Family.told_apart``."""
        shapes = {spec: spec.shape[1:] for spec in by_names(outputs, self.tensors) if len(spec.shape) == 4}
        return told_by_channels({spec: (s[2], s[:2]) for spec, s in shapes.items()}, len(outputs), image_size)

    def read(self, tensors: Tensors, *, activated: bool) -> Outputs:
        """See ``Family.read``."""
        del activated
        if set(tensors) != set(self.tensors):
            raise BackendError(f"expected the outputs {SEMI} and {DESC}, got {', '.join(sorted(tensors))}")
        try:
            return DenseOutputs(*(np.ascontiguousarray(np.moveaxis(tensors[n][0], -1, 0)) for n in self.tensors))
        except FeaturesError as error:
            raise BackendError(f"the model's outputs are not those of a keypoint network: {error}") from error


def told_by_channels(
    found: dict[TensorSpec, tuple[int | str, tuple[int | str, ...]]], count: int, image_size: tuple[int, int]
) -> tuple[TensorSpec, TensorSpec] | None:
    """Logits and descriptors among outputs with their channels and grids; None unless there are just these two."""
    on_grid = {spec: channels for spec, (channels, own) in found.items() if on_cells(own, image_size)}
    logits = [spec for spec, channels in on_grid.items() if channels == LOGIT_CHANNELS]
    others = [spec for spec, n in on_grid.items() if n != LOGIT_CHANNELS and isinstance(n, int) and n >= FEWEST_VALUES]
    if len(found) != 2 and len(found) != count:
        return None
    if len(logits) == 2 and all(spec.name in (SEMI, DESC) for spec in logits):  # descriptors of 65 values, too
        return logits[0], logits[1]
    return (logits[0], others[0]) if len(logits) == len(others) == 1 and len(found) == 2 else None
