"""``cells_reliability``: cells of 65, how far each is to be trusted, and coarse descriptors, as XFeat has them.

Source: Potje, Cadar, Araujo, Martins, Nascimento 2024, «XFeat: Accelerated Features for Lightweight Image Matching»,
arXiv 2404.19174, section 3.2: a keypoint's score is that of its pixel times the reliability there.
"""

from __future__ import annotations

import cv2
import numpy as np

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, FeaturesError
from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS, HeatmapOutputs, Outputs
from oakpoint.tasks.keypoints.families.base import FEWEST_VALUES, Family, by_names, on_cells

LOGITS, RELIABILITY, DESCRIPTORS = "keypoint_logits", "reliability", "descriptors"


class CellsReliability(Family):
    """Logits (N, 65, H/8, W/8), reliability (N, 1, H/8, W/8) in [0, 1], descriptors (N, D, H/8, W/8)."""

    name = "cells_reliability"
    step_px = CELL_PX
    tensors = (LOGITS, RELIABILITY, DESCRIPTORS)
    decode_preset = "distilled"

    def told_apart(self, outputs: tuple[TensorSpec, ...], image_size: tuple[int, int]) -> tuple[TensorSpec, ...] | None:
        """See ``Family.told_apart``."""
        specs = by_names(outputs, self.tensors)
        grids = {spec.shape[2:] for spec in specs if len(spec.shape) == 4 and on_cells(spec.shape[2:], image_size)}
        if len(specs) != 3 or len(grids) != 1 or any(spec.shape[2:] not in grids for spec in specs):
            return None
        kinds = {_kind(spec.shape[1]): spec for spec in specs}
        return tuple(kinds[name] for name in self.tensors) if kinds.keys() == set(self.tensors) else None

    def read(self, tensors: Tensors, *, activated: bool) -> Outputs:
        """See ``Family.read``: the reliability is spread over its cell's pixels between the cells' centres."""
        del activated
        if set(tensors) != set(self.tensors):
            raise BackendError(f"expected the outputs {', '.join(self.tensors)}, got {', '.join(sorted(tensors))}")
        try:
            heatmap = heatmap_from_logits(tensors[LOGITS][0])
            size = heatmap.shape[1], heatmap.shape[0]
            spread = cv2.resize(tensors[RELIABILITY][0, 0], size, interpolation=cv2.INTER_LINEAR)
            return HeatmapOutputs(np.asarray(heatmap * spread, np.float32), tensors[DESCRIPTORS][0])
        except FeaturesError as error:
            raise BackendError(f"the model's outputs are not those of a keypoint network: {error}") from error


def _kind(channels: int | str) -> str:
    if channels == LOGIT_CHANNELS:
        return LOGITS
    if channels == 1:
        return RELIABILITY
    return DESCRIPTORS if isinstance(channels, int) and channels >= FEWEST_VALUES else ""
