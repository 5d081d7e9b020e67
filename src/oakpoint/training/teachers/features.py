"""Keypoints of single images by a teacher, so that it can be judged beside what learns from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from oakpoint.errors import ImageError
from oakpoint.features.nms import nms_maxpool_rounds
from oakpoint.features.refinement import refined_keypoints
from oakpoint.features.types import Features, Subpixel
from oakpoint.geometry import resized_from_original
from oakpoint.training.homographies import sample
from oakpoint.training.images import grey_tensor
from oakpoint.training.teachers.protocol import Teacher


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherDecode:
    """How a teacher's scores become keypoints.

    Attributes:
        min_score: lowest score of a keypoint, in [0, 1].
        nms_radius_px: a keypoint is the highest of the square of (2r + 1)² pixels around it.
        nms_rounds: how often what is not near a keypoint is searched; 1 for the local maxima alone.
        border_px: keypoints nearer to the image border than this are dropped.
        max_keypoints: the highest-scoring ones that are kept; None keeps all.
        subpixel: how keypoints are placed between pixels.
        temperature: what is refined is exp(score / temperature); None: the score itself.
    """

    min_score: float
    nms_radius_px: int
    nms_rounds: int
    border_px: int
    max_keypoints: int | None
    subpixel: Subpixel
    temperature: float | None = None


DECODE_PRESETS = {
    # The authors' own: scores of −5 before the sigmoid, local maxima of 5×5 pixels, a border of 4.
    "edgepoint2": TeacherDecode(
        min_score=1 / (1 + math.exp(5)),
        nms_radius_px=2,
        nms_rounds=1,
        border_px=4,
        max_keypoints=None,
        subpixel="none",
    ),
    # The authors' own: threshold 0.2, SuperGlue's NMS of radius 2, a border of 3, soft-argmax over 5×5 pixels at
    # temperature 0.1 (paper, section III-B). Here, other than there, it moves no keypoint by more than half a pixel.
    "alike": TeacherDecode(
        min_score=0.2,
        nms_radius_px=2,
        nms_rounds=3,
        border_px=3,
        max_keypoints=None,
        subpixel="soft_argmax",
        temperature=0.1,
    ),
}


@torch.inference_mode()
def teacher_features(
    teacher: Teacher, image: NDArray[np.uint8], decode: TeacherDecode, *, device: torch.device | None = None
) -> Features:
    """Keypoints of a grey image (H, W).

    The image is scaled down to the teacher's multiples, bilinearly as EdgePoint2's authors do, its keypoints found
    there and taken back to the image's pixels. Descriptors are of unit norm and sampled bilinearly, a coarse one lying
    at the centre of the pixels that it stands for.

    Raises:
        ImageError: smaller than one multiple.
    """
    height, width = image.shape
    size = fitted_size((width, height), teacher.multiple)
    tensor = grey_tensor(image, device or torch.device("cpu"))
    outputs = teacher(resized(tensor, size))
    heatmap = outputs.scores[0, 0].float().cpu().numpy()
    maxima = _maxima(heatmap, decode)
    refined = heatmap if decode.temperature is None else np.exp((heatmap - 1) / decode.temperature)
    points = torch.from_numpy(refined_keypoints(refined, maxima, decode.subpixel))
    unit = functional.normalize(outputs.descriptors.float(), dim=1)
    descriptors = functional.normalize(sample(unit, points.to(unit.device)[None], size=size)[0], dim=1)
    original_from_tensor = resized_from_original((width, height), size).inverse()
    return Features(
        original_from_tensor(points.numpy()),
        heatmap[maxima[:, 1], maxima[:, 0]],
        descriptors.cpu().numpy(),
        (width, height),
    )


def fitted_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The largest (W, H) of such multiples that is not larger than ``size``.

    Raises:
        ImageError: there is none.
    """
    width, height = (side // multiple * multiple for side in size)
    if not width or not height:
        raise ImageError(f"expected an image of at least {multiple}×{multiple} px, got {size[0]}×{size[1]}")
    return width, height


def resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Images or maps (N, C, H, W) scaled bilinearly to ``size`` (W, H), edges to edges."""
    wanted = (size[1], size[0])
    if images.shape[2:] == wanted:
        return images
    return functional.interpolate(images, wanted, mode="bilinear", align_corners=False)


def _maxima(heatmap: NDArray[np.float32], decode: TeacherDecode) -> NDArray[np.int64]:
    """(K, 2), (x, y) of the keypoints' pixels, highest score first."""
    kept = nms_maxpool_rounds(heatmap, decode.nms_radius_px, decode.nms_rounds) & (heatmap >= decode.min_score)
    inner = np.zeros_like(kept)
    border = decode.border_px
    inner[border : max(kept.shape[0] - border, 0), border : max(kept.shape[1] - border, 0)] = True
    rows, columns = np.nonzero(kept & inner)
    best = np.argsort(-heatmap[rows, columns], kind="stable")[: decode.max_keypoints]
    return np.stack([columns[best], rows[best]], axis=1)
