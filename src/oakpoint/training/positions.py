"""Where keypoints lie to a fraction of a pixel: the mean of what a network finds in many views of an image.

A teacher's keypoints are maxima of an averaged map of scores. Where a network finds the same points, in one view or
another, is a fraction of a pixel away, and a student that is asked for both has neither. Positions that many views
agree on can be found in each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from oakpoint.features.types import CELL_PX
from oakpoint.training.dataset import LOCATED, Dataset, Told
from oakpoint.training.homographies import ViewRanges, random_homographies, transform, warp
from oakpoint.training.images import grey_tensor
from oakpoint.training.labels import FULL
from oakpoint.training.losses import REACH_PX, found_positions, heatmap_of
from oakpoint.training.options import Precision
from oakpoint.training.photometric import PhotometricRanges, augment
from oakpoint.training.processes import Place

VIEWS_AT_ONCE = 4
KNOWN_SCORE = 1.0
"""Corners of drawn images, whose positions are known, have it."""

_VIEW_RANGES = ViewRanges(
    scale=(0.6, 1.2), rotation_deg=30.0, wide_rotation_deg=90.0, wide_share=0.1, tilt=1.5, perspective=0.15, shift_px=0
)
_LIGHT_RANGES = PhotometricRanges(probability=0.25)


@dataclass(frozen=True, slots=True)
class PositionOptions:
    """How keypoints are located.

    Attributes:
        views: how many views of an image, at each of its two sizes, are averaged over.
        ranges: of their geometry.
        photometric: of their light, blur and noise.
        reach_px: a view in which a keypoint is found further than this from its label does not count; in pixels of the
            image at that size.
        label_weight: how much the label itself counts. A view counts as much as the network is sure of the keypoint in
            it: 1 at most.
    """

    views: int = 16
    ranges: ViewRanges = field(default_factory=lambda: _VIEW_RANGES)
    photometric: PhotometricRanges = field(default_factory=lambda: _LIGHT_RANGES)
    reach_px: float = 2.5
    label_weight: float = 0.05


def locate_keypoints(
    dataset: Dataset,
    network: nn.Module,
    options: PositionOptions,
    place: Place,
    *,
    seed: int,
    precision: Precision,
    told: Told,
) -> None:
    """Move the keypoints of a labelled data set to where a network finds them, all processes together.

    Corners that are known stay. What was located before stays, too.

    Args:
        dataset: open for writing.
        network: in evaluation mode, with the outputs (semi, desc), on the place's device.
        options: how.
        place: this process among the others.
        seed: of the views.
        precision: of the network's convolutions.
        told: hears, on the first process, of how many images of all the keypoints are located.
    """
    for index in dataset.left(LOCATED, place, told):
        generator = torch.Generator(place.device).manual_seed(seed * 1_000_003 + index)
        dataset.move(index, _located_of_image(dataset, index, network, options, generator, precision).cpu().numpy())


def _located_of_image(
    dataset: Dataset,
    index: int,
    network: nn.Module,
    options: PositionOptions,
    generator: torch.Generator,
    precision: Precision,
) -> torch.Tensor:
    """All points (K, 2) of an image, those of each of its two sizes located in the image at that size."""
    image = grey_tensor(dataset.images[index], generator.device)
    points, scores, levels = (
        torch.from_numpy(array[index].copy()).to(generator.device)
        for array in (dataset.points, dataset.scores, dataset.levels)
    )
    guessed = (scores > 0) & (scores < KNOWN_SCORE)
    full = guessed & ((levels & FULL) > 0)
    points[full] = located(network, image, points[full], options, generator, precision)
    half = guessed & ~full
    halved = functional.avg_pool2d(image, 2)
    points[half] = 2 * located(network, halved, (points[half] - 0.5) / 2, options, generator, precision) + 0.5
    return points


@torch.inference_mode()
def located(
    network: nn.Module,
    image: torch.Tensor,
    points: torch.Tensor,
    options: PositionOptions,
    generator: torch.Generator,
    precision: Precision,
) -> torch.Tensor:
    """Points (K, 2) of an image (1, 1, H, W), each moved to the mean of where a network finds it in views.

    Args:
        network: in evaluation mode, with the outputs (semi, desc).
        image: in [0, 1].
        points: in its pixels.
        options: how.
        generator: of the image's device.
        precision: of the network's convolutions.
    """
    if not len(points):
        return points
    height, width = image.shape[2:]
    size = (width // CELL_PX * CELL_PX, height // CELL_PX * CELL_PX)
    centres = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], device=image.device).expand(options.views, -1)
    view_from_image, _ = random_homographies(centres, size, options.ranges, generator)
    total = options.label_weight * points
    mass = torch.full_like(points[:, :1], options.label_weight)
    for homographies in torch.split(view_from_image, VIEWS_AT_ONCE):
        views = warp(image.expand(len(homographies), -1, -1, -1), homographies, size=size)
        views = augment(views, options.photometric, generator)
        near = transform(homographies, points.expand(len(homographies), -1, -1))
        found, sure = _found(network, views, near, precision)
        back = transform(torch.linalg.inv(homographies), found)
        reached = torch.linalg.vector_norm(back - points, dim=-1) < options.reach_px
        weights = torch.where(reached, sure, 0)[..., None]
        total = total + (weights * back.nan_to_num(posinf=0.0)).sum(dim=0)
        mass = mass + weights.sum(dim=0)
    return total / mass


def _found(
    network: nn.Module, views: torch.Tensor, near: torch.Tensor, precision: Precision
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a network finds points (N, K, 2) in views (N, 1, H, W), and how sure it is: 0 to 1, 0 outside a view."""
    with torch.autocast(views.device.type, torch.bfloat16, enabled=precision == "bf16"):
        semi, _ = network(views.contiguous(memory_format=torch.channels_last))
    heatmap = heatmap_of(semi)
    limit = torch.tensor([views.shape[3], views.shape[2]], device=views.device) - 1 - REACH_PX
    shown = ((near >= REACH_PX) & (near <= limit)).all(dim=-1)
    found, sure = found_positions(heatmap, torch.where(shown[..., None], near, float(REACH_PX)))
    return found, sure.clamp_max(1) * shown
