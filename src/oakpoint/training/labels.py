"""What a teacher finds in images, found once and kept: keypoints of homographic adaptation and their descriptors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from oakpoint.training.homographies import ViewRanges, random_homographies, sample, warp
from oakpoint.training.images import grey_tensor
from oakpoint.training.teachers.protocol import Teacher, TeacherOutputs

FULL, HALF = 1, 2
"""Sizes of an image at which a point is a keypoint: its own, half of it."""

ADAPTATION_RANGES = ViewRanges(
    scale=(0.6, 1.2), rotation_deg=45.0, wide_share=0.0, tilt=1.7, perspective=0.2, shift_px=0.0
)


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How a teacher labels.

    Attributes:
        warps: how many warped copies of an image the teacher's scores are averaged over, besides the image itself.
        ranges: from what the warps are drawn.
        max_points: how many keypoints of an image are kept, the highest-scoring ones.
        half_points: how many of the image at half the size are kept besides; 0 does not look there.
        nms_radius_px: no two keypoints are within this of each other along both axes.
        min_score: lowest mean score of a keypoint.
    """

    warps: int = 10
    ranges: ViewRanges = ADAPTATION_RANGES
    max_points: int = 768
    half_points: int = 288
    nms_radius_px: int = 3
    min_score: float = 0.005

    @property
    def rows(self) -> int:
        """Most keypoints of an image."""
        return self.max_points + self.half_points


@dataclass(frozen=True, slots=True, eq=False)
class ImageLabels:
    """Keypoints of one image.

    Attributes:
        points: float32 (K, 2), pixels.
        scores: float32 (K,), in [0, 1].
        descriptors: float16 (K, D), unit L2.
        levels: uint8 (K,), ``FULL``, ``HALF`` or both: at which size of the image each is a keypoint. What is a corner
            in a small image lies elsewhere than the corners of its details.
    """

    points: NDArray[np.float32]
    scores: NDArray[np.float32]
    descriptors: NDArray[np.float16]
    levels: NDArray[np.uint8]


@torch.inference_mode()
def label_image(
    teacher: Teacher, image: NDArray[np.uint8], options: LabelOptions, generator: torch.Generator
) -> ImageLabels:
    """Keypoints of a grey image (H, W) by homographic adaptation, with the descriptors of the image itself.

    They are found in the image, and again in the image at half the size, where as many are kept for each pixel and
    half as many more.

    Source: DeTone et al. 2018, arXiv 1712.07629, section 5: scores of many warped copies, warped back and averaged,
    repeat better than the scores of one.
    """
    tensor = grey_tensor(image, generator.device)
    full = _level_labels(teacher, tensor, options, generator)
    if not options.half_points:
        return full
    fewer = replace(options, max_points=options.half_points)
    half = _level_labels(teacher, functional.avg_pool2d(tensor, 2), fewer, generator)
    return ImageLabels(
        np.concatenate([full.points, 2 * half.points + 0.5]).astype(np.float32),
        np.concatenate([full.scores, half.scores]),
        np.concatenate([full.descriptors, half.descriptors]),
        np.concatenate([full.levels, np.full_like(half.levels, HALF)]),
    )


def _level_labels(
    teacher: Teacher, image: torch.Tensor, options: LabelOptions, generator: torch.Generator
) -> ImageLabels:
    """Keypoints of an image (1, 1, H, W) at its own size, the highest score first."""
    outputs = teacher(image)
    points, scores = _peaks(_adapted_scores(teacher, image, outputs.scores, options, generator), options)
    return ImageLabels(
        points.cpu().numpy(),
        scores.cpu().numpy(),
        descriptors_at(outputs, points),
        np.full(len(points), FULL, np.uint8),
    )


def descriptors_at(outputs: TeacherOutputs, points: torch.Tensor) -> NDArray[np.float16]:
    """A teacher's descriptors of one image at points (K, 2), in its pixels: float16 (K, D), unit L2."""
    size = (outputs.scores.shape[3], outputs.scores.shape[2])
    found = functional.normalize(sample(outputs.descriptors, points[None], size=size)[0].float(), dim=1)
    return np.asarray(found.half().cpu().numpy(), np.float16)


def _adapted_scores(
    teacher: Teacher, image: torch.Tensor, own: torch.Tensor, options: LabelOptions, generator: torch.Generator
) -> torch.Tensor:
    """Mean score (H, W) over the image and its warped copies, of those that show a pixel."""
    height, width = image.shape[2:]
    size = (width, height)
    total, seen = own.float(), torch.ones_like(own, dtype=torch.float32)
    centre = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], device=image.device)
    for _ in range(options.warps):
        homography, _ = random_homographies(centre, size, options.ranges, generator)
        scores = teacher(warp(image, homography, size=size)).scores.float()
        back = torch.linalg.inv(homography)
        total = total + warp(scores, back, size=size, padding="zeros")
        seen = seen + warp(torch.ones_like(scores), back, size=size, padding="zeros")
    return (total / seen)[0, 0]


def _peaks(scores: torch.Tensor, options: LabelOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest local maxima (K, 2), refined by a parabola along each axis, and their scores (K,), descending."""
    window = 2 * options.nms_radius_px + 1
    highest = functional.max_pool2d(scores[None, None], window, 1, options.nms_radius_px)[0, 0]
    inner = torch.zeros_like(scores, dtype=torch.bool)
    inner[1:-1, 1:-1] = True
    rows, columns = torch.nonzero((scores == highest) & (scores >= options.min_score) & inner, as_tuple=True)
    order = torch.sort(scores[rows, columns], descending=True, stable=True).indices[: options.max_points]
    rows, columns = rows[order], columns[order]
    kept = _apart(rows, columns, options.nms_radius_px)
    rows, columns = rows[kept], columns[kept]
    x = columns + _vertex(scores[rows, columns - 1], scores[rows, columns], scores[rows, columns + 1])
    y = rows + _vertex(scores[rows - 1, columns], scores[rows, columns], scores[rows + 1, columns])
    return torch.stack([x, y], dim=1).float(), scores[rows, columns]


def _apart(rows: torch.Tensor, columns: torch.Tensor, radius_px: int) -> torch.Tensor:
    """Which maxima (K,) to keep where several of one plateau lie within the radius: the first, and so on."""
    distance = torch.maximum((rows[:, None] - rows).abs(), (columns[:, None] - columns).abs())
    near_before = torch.tril(distance <= radius_px, -1)
    left, kept = torch.ones_like(rows, dtype=torch.bool), torch.zeros_like(rows, dtype=torch.bool)
    while bool(left.any()):
        first = left & ~(near_before & left).any(dim=1)
        kept |= first
        left &= ~first & ~(near_before & first).any(dim=1)
    return kept


def _vertex(before: torch.Tensor, at: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Where the parabola through three values, the middle one the highest, has its top: −0.5 to 0.5."""
    curvature = before - 2 * at + after
    offset = 0.5 * (before - after) / curvature.clamp_max(-1e-9)
    return offset.clamp(-0.5, 0.5)
