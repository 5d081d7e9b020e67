"""``score_map``: a score for every pixel, descriptors at a stride of their own, as EdgePoint2 and ALIKE have them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError, FeaturesError
from oakpoint.features.types import HeatmapOutputs, Outputs
from oakpoint.tasks.keypoints.families.base import FEWEST_VALUES, Family, by_names

SCORES, DESCRIPTORS = "scores", "descriptors"


class ScoreMap(Family):
    """``scores`` (N, 1, H, W) or (N, H, W), logits or probabilities; ``descriptors`` (N, D, H/s, W/s)."""

    name = "score_map"
    step_px = 8
    tensors = (SCORES, DESCRIPTORS)
    decode_preset = "distilled"

    def told_apart(self, outputs: tuple[TensorSpec, ...], image_size: tuple[int, int]) -> tuple[TensorSpec, ...] | None:
        """See ``Family.told_apart``."""
        specs = by_names(outputs, self.tensors)
        if len(specs) != 2:
            return None
        scores = [spec for spec in specs if _is_map(spec, image_size)]
        descriptors = [spec for spec in specs if _stride(spec, image_size) is not None]
        return (scores[0], descriptors[0]) if len(scores) == len(descriptors) == 1 else None

    def read(self, tensors: Tensors, *, activated: bool) -> Outputs:
        """See ``Family.read``."""
        if set(tensors) != set(self.tensors):
            raise BackendError(f"expected the outputs {SCORES} and {DESCRIPTORS}, got {', '.join(sorted(tensors))}")
        scores = tensors[SCORES].reshape(tensors[SCORES].shape[-2:])
        try:
            return HeatmapOutputs(scores if activated else _sigmoid(scores), tensors[DESCRIPTORS][0])
        except FeaturesError as error:
            raise BackendError(f"the model's outputs are not those of a keypoint network: {error}") from error


def _is_map(spec: TensorSpec, image_size: tuple[int, int]) -> bool:
    return spec.shape[1:] in ((1, image_size[1], image_size[0]), (image_size[1], image_size[0]))


def _stride(spec: TensorSpec, image_size: tuple[int, int]) -> int | None:
    """Pixels from one descriptor to the next; None for what is no descriptors."""
    if len(spec.shape) != 4 or not all(isinstance(side, int) for side in spec.shape[1:]):
        return None
    channels, rows, columns = (int(side) for side in spec.shape[1:])
    if channels < FEWEST_VALUES or not rows or image_size[1] % rows or image_size[0] % columns:
        return None
    stride = image_size[1] // rows
    return stride if image_size[0] // columns == stride else None


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
