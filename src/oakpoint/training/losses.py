"""What training minimises: cross-entropy of detector cells, distance of found positions, contrast of descriptors."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch.nn import functional

from oakpoint.features.refinement import SOFT_ARGMAX_RADIUS_PX
from oakpoint.features.types import CELL_PX
from oakpoint.training.homographies import pixel_grid, sample, transform
from oakpoint.training.views import ViewPairs

REACH_PX = 2
"""How far from its label a keypoint is looked for."""

LABELLED = 0.03
"""Least probability that a keypoint's label leaves at the pixels about it; the tails of others leave less."""


@dataclass(frozen=True, slots=True)
class LossOptions:
    """Weights and constants of the losses.

    Attributes:
        descriptor_weight: of the descriptors' loss against the detector's.
        position_weight: of the positions' loss, in pixels, against the detector's.
        label_share: share of the positions' loss that compares views with the label, the rest compares views.
        knee_px: distances of positions count in proportion from here on, and less, by their square, below.
        teacher_share: share of the descriptors' loss that compares views with the teacher, the rest compares views.
        temperature: of the contrast.
        neighbour_px: keypoints nearer than this to each other in a view are no counter-examples of each other; in both
            views, where they are compared with the teacher.
    """

    descriptor_weight: float = 0.25
    position_weight: float = 1.2
    label_share: float = 0.3
    knee_px: float = 0.3
    teacher_share: float = 0.5
    temperature: float = 0.07
    neighbour_px: float = 6.0


@dataclass(frozen=True, slots=True)
class Losses:
    """What a step minimises, each a scalar tensor.

    Attributes:
        detector: see ``detector_loss``.
        position: see ``position_loss``.
        descriptor: see ``descriptor_loss``.
    """

    detector: torch.Tensor
    position: torch.Tensor
    descriptor: torch.Tensor

    def by_name(self) -> dict[str, torch.Tensor]:
        """Each under its name, without its gradient."""
        return {item.name: getattr(self, item.name).detach() for item in fields(self)}

    def total(self, options: LossOptions) -> torch.Tensor:
        """Their weighted sum."""
        return self.detector + options.position_weight * self.position + options.descriptor_weight * self.descriptor


def losses_of(semi: torch.Tensor, desc: torch.Tensor, pairs: ViewPairs, options: LossOptions) -> Losses:
    """The losses of a network's outputs (2B, 65, H/8, W/8) and (2B, D, H/8, W/8) for the views of pairs."""
    return Losses(
        detector=detector_loss(semi, pairs),
        position=position_loss(semi, pairs, options),
        descriptor=descriptor_loss(desc, pairs, options),
    )


def detector_loss(semi: torch.Tensor, pairs: ViewPairs) -> torch.Tensor:
    """Mean cross-entropy of logits (2B, 65, H/8, W/8) against the cells' labels, over cells that show the image."""
    entropy = -(pairs.cells * functional.log_softmax(semi.float(), dim=1)).sum(dim=1)
    return (entropy * pairs.cell_weights).sum() / pairs.cell_weights.sum().clamp_min(1)


def position_loss(semi: torch.Tensor, pairs: ViewPairs, options: LossOptions) -> torch.Tensor:
    """How far, in pixels, a keypoint is found from where the other view says it is, and from its label.

    Positions are found as decoding with soft-argmax finds them: the maximum of the heat map within ``REACH_PX`` of the
    label, and the mean of the 5×5 pixels about it. The teacher's positions are off by a fraction of a pixel; that both
    views agree can be asked for exactly. Between views of different scale the distance counts in the smaller one.
    Keypoints that the labels of either view do not hold (another one of the cell scores higher, or it is a keypoint at
    the other size of the image only) are left out; the others count as much as the network is sure of them, since it
    is by that that decoding chooses.
    """
    heatmap = heatmap_of(semi)
    found, sure = found_positions(heatmap, pairs.points)
    first, second = found.chunk(2)
    first_from_image, second_from_image = pairs.homographies.chunk(2)
    second_from_first = second_from_image @ torch.linalg.inv(first_from_image)
    there = transform(second_from_first, first) - second
    back = transform(torch.linalg.inv(second_from_first), second) - first
    between = torch.minimum(*(_soft_distance(steps, options.knee_px) for steps in (there, back)))
    to_label = torch.stack(_soft_distance(found - pairs.points, options.knee_px).chunk(2)).mean(dim=0)
    labels = functional.pixel_shuffle(pairs.cells[:, :-1], CELL_PX)[:, 0]
    nearby = torch.round(pairs.points)[:, :, None] + _offsets(1, labels.device)
    labelled = torch.stack((_values(labels, nearby).amax(dim=2) > LABELLED).chunk(2)).all(dim=0)
    first_sure, second_sure = sure.detach().chunk(2)
    weights = torch.sqrt(first_sure * second_sure) * (pairs.valid & labelled)
    distance = (1 - options.label_share) * between + options.label_share * to_label
    return (distance * weights).sum() / weights.sum().clamp_min(1)


def heatmap_of(semi: torch.Tensor) -> torch.Tensor:
    """Heat maps (N, H, W) of logits (N, 65, H/8, W/8): softmax, and each cell spread to its 8×8 pixels."""
    return functional.pixel_shuffle(functional.softmax(semi.float(), dim=1)[:, :-1], CELL_PX)[:, 0]


def found_positions(heatmap: torch.Tensor, near: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keypoints in heat maps (N, H, W), each within ``REACH_PX`` of a point (N, P, 2).

    Returns:
        Positions (N, P, 2), and the probability in the window about each (N, P).
    """
    start = torch.round(near)
    reach = _offsets(REACH_PX, heatmap.device)
    best = _values(heatmap, start[:, :, None] + reach).argmax(dim=2)
    peak = start + reach[best]
    window = peak[:, :, None] + _offsets(SOFT_ARGMAX_RADIUS_PX, heatmap.device)
    weights = _values(heatmap, window)
    mass = weights.sum(dim=2)
    return (weights[..., None] * window).sum(dim=2) / mass[..., None].clamp_min(1e-8), mass


def _offsets(reach: int, device: torch.device) -> torch.Tensor:
    """Steps (M, 2) to the pixels of a square."""
    side = 2 * reach + 1
    return pixel_grid((side, side), device) - reach


def _values(maps: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Values (N, P, M) of maps (N, H, W) at whole pixels (N, P, M, 2); 0 outside."""
    height, width = maps.shape[1:]
    x, y = pixels.long().unbind(dim=-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = (y.clamp(0, height - 1) * width + x.clamp(0, width - 1)).flatten(1)
    return maps.flatten(1).gather(1, index).reshape(x.shape) * inside


def _soft_distance(steps: torch.Tensor, knee_px: float) -> torch.Tensor:
    """Huber's function of the lengths of steps (…, 2), in pixels beyond the knee; no further than 4 pixels."""
    length = torch.linalg.vector_norm(steps.nan_to_num(posinf=0, neginf=0), dim=-1).clamp_max(4)
    return torch.where(length < knee_px, length**2 / (2 * knee_px), length - knee_px / 2)


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
