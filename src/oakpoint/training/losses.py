"""What training minimises: cross-entropy of detector cells, contrast of descriptors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from oakpoint.training.homographies import sample
from oakpoint.training.views import ViewPairs


@dataclass(frozen=True, slots=True)
class LossOptions:
    """Weights and constants of the losses.

    Attributes:
        descriptor_weight: of the descriptors' loss against the detector's.
        teacher_share: share of the descriptors' loss that compares views with the teacher, the rest compares views.
        temperature: of the contrast.
        neighbour_px: keypoints nearer than this to each other in a view are no counter-examples of each other.
    """

    descriptor_weight: float = 0.5
    teacher_share: float = 0.5
    temperature: float = 0.07
    neighbour_px: float = 6.0


def detector_loss(semi: torch.Tensor, pairs: ViewPairs) -> torch.Tensor:
    """Mean cross-entropy of logits (2B, 65, H/8, W/8) against the cells' labels, over cells that show the image."""
    entropy = -(pairs.cells * functional.log_softmax(semi.float(), dim=1)).sum(dim=1)
    return (entropy * pairs.cell_weights).sum() / pairs.cell_weights.sum().clamp_min(1)


def descriptor_loss(desc: torch.Tensor, pairs: ViewPairs, options: LossOptions) -> torch.Tensor:
    """Contrast (InfoNCE) of descriptors (2B, D, H/8, W/8) at the pairs' keypoints: between views, and with the teacher.

    Each keypoint's descriptor should be nearer to its counterpart than to all other keypoints of the pair.
    Source of the loss: van den Oord, Li, Vinyals 2018, arXiv 1807.03748, equation 4.
    """
    size = (pairs.views.shape[3], pairs.views.shape[2])
    unit = functional.normalize(desc.float(), dim=1)
    at_points = functional.normalize(sample(unit, pairs.points, size=size), dim=2)
    first, second = at_points.chunk(2)
    near_first, near_second = (_near(points, options.neighbour_px) for points in pairs.points.chunk(2))
    between = (
        _contrast(first, second, near_second, pairs.valid, options.temperature)
        + _contrast(second, first, near_first, pairs.valid, options.temperature)
    ) / 2
    if options.teacher_share == 0:
        return between
    near = near_first & near_second
    to_teacher = (
        _contrast(first, pairs.descriptors, near, pairs.valid, options.temperature)
        + _contrast(second, pairs.descriptors, near, pairs.valid, options.temperature)
    ) / 2
    return (1 - options.teacher_share) * between + options.teacher_share * to_teacher


def _near(points: torch.Tensor, reach_px: float) -> torch.Tensor:
    """(B, P, P), which other keypoints are within reach of each."""
    distance = torch.cdist(points, points)
    itself = torch.eye(points.shape[1], dtype=torch.bool, device=points.device)
    return (distance < reach_px) & ~itself


def _contrast(
    queries: torch.Tensor, keys: torch.Tensor, near: torch.Tensor, valid: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Mean over valid rows of the cross-entropy of finding row i of the queries (B, P, D) at row i of the keys."""
    similarity = queries @ keys.transpose(1, 2) / temperature
    similarity = similarity.masked_fill(near | ~valid[:, None, :], -1e4)
    target = torch.arange(queries.shape[1], device=queries.device).expand(len(queries), -1)
    entropy = functional.cross_entropy(similarity.flatten(0, 1), target.flatten(), reduction="none")
    weights = valid.flatten().float()
    return (entropy * weights).sum() / weights.sum().clamp_min(1)
