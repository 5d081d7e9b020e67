"""From a network's dense outputs to keypoints: the reference that every backend and fused graph is held against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.heatmap import heatmap_from_logits
from oakpoint.features.nms import greedy_maxima, maxpool_maxima
from oakpoint.features.refinement import refined_keypoints
from oakpoint.features.sampling import sample_descriptors
from oakpoint.features.types import DecodeOptions, DenseOutputs, Features, Outputs
from oakpoint.features.workspace import WORKSPACE
from oakpoint.geometry import PixelMap, inside_image
from oakpoint.threads import one_blas_thread


@one_blas_thread()
def decode(outputs: Outputs, options: DecodeOptions) -> Features:
    """Keypoints, scores and descriptors from what the network put out.

    The order is the original demo's: heat map, threshold and NMS, border, sorting by score, the best ``max_keypoints``,
    descriptors. The border comes after NMS, so that a point too near the border still suppresses its neighbours.
    Keypoints of equal score stand in row-major order. Refinement between pixels, where it is asked for, comes just
    before the descriptors: which keypoints there are, their scores and their order do not depend on it.

    Args:
        outputs: of one image: coarse descriptors, and logits or a heat map.
        options: a preset of ``DecodeOptions`` or a change of one.

    Returns:
        Features in pixels of the *tensor* image (``outputs.image_size``), which ``in_frame`` takes to the original
        image. With no keypoint the arrays are (0, 2), (0,) and (0, D).

    Source: DeTone et al. 2018, arXiv 1712.07629; demo_superpoint.py of magicleap/SuperPointPretrainedNetwork.
    """
    heatmap = _heatmap(outputs)
    maxima = _maxima(heatmap, options)
    scores = heatmap.ravel()[maxima]
    best = np.argsort(-scores, kind="stable")[: options.max_keypoints]
    rows, columns = np.divmod(maxima[best], heatmap.shape[1])
    keypoints = refined_keypoints(heatmap, np.stack([columns, rows], axis=1), options.subpixel)
    descriptors = sample_descriptors(outputs.descriptors, keypoints, options.sampling, outputs.stride_px)
    return Features(keypoints, scores[best], descriptors, outputs.image_size)


def heatmap_of(outputs: Outputs) -> NDArray[np.float32]:
    """The heat map, float32 (8·Hc, 8·Wc) in [0, 1]; values of a given one that are not finite count as no keypoint."""
    if isinstance(outputs, DenseOutputs):
        return heatmap_from_logits(outputs.logits)
    return np.nan_to_num(outputs.heatmap, nan=0.0, posinf=0.0, neginf=0.0)


def _heatmap(outputs: Outputs) -> NDArray[np.float32]:
    """The same to be read within this call alone: of the workspace, or the very array that was given."""
    if isinstance(outputs, DenseOutputs):
        width, height = outputs.image_size
        return heatmap_from_logits(outputs.logits, WORKSPACE.array("heatmap", (height, width), np.float32))
    given = np.ascontiguousarray(outputs.heatmap)
    return given if np.isfinite(given.min()) and np.isfinite(given.max()) else heatmap_of(outputs)


def in_frame(features: Features, original_from_tensor: PixelMap, image_size: tuple[int, int]) -> Features:
    """Features of the tensor image in the frame of the original image.

    Args:
        features: keypoints in pixels of the tensor image.
        original_from_tensor: the map that preprocessing gave.
        image_size: (W, H) of the original image in pixels.

    Returns:
        The same features with keypoints in pixels of the original image, less those that lie outside it
        (−0.5 … W − 0.5), which is where a letterbox's padding is.
    """
    moved = replace(features, keypoints=original_from_tensor(features.keypoints), image_size=image_size)
    inside = inside_image(moved.keypoints, image_size)
    return moved if inside.all() else moved.subset(inside)


def _maxima(heatmap: NDArray[np.float32], options: DecodeOptions) -> NDArray[np.int64]:
    """Flat indices of the keypoints' pixels, ascending: what NMS keeps, less what is too near the border."""
    nms = greedy_maxima if options.nms == "greedy" else maxpool_maxima
    kept = nms(heatmap, options.nms_radius_px, options.threshold)
    (height, width), border_px = heatmap.shape, options.border_px
    rows, columns = np.divmod(kept, width)
    inside = (rows >= border_px) & (rows < height - border_px) & (columns >= border_px) & (columns < width - border_px)
    return np.asarray(kept[inside], np.int64)


def without_border(kept: NDArray[np.bool_], border_px: int) -> NDArray[np.bool_]:
    """Drop what lies in the outermost ``border_px`` rows and columns (the original's: x < b or x >= W − b)."""
    height, width = kept.shape
    inner = np.zeros_like(kept)
    window = slice(border_px, max(height - border_px, 0)), slice(border_px, max(width - border_px, 0))
    inner[window] = kept[window]
    return inner
