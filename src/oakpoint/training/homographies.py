"""Random homographies in batches, and warping by them, on any torch device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class ViewRanges:
    """From what views are drawn.

    Attributes:
        scale: smallest and largest scale, view pixels for each image pixel, drawn log-uniformly.
        rotation_deg: half the range of rotations of most views.
        wide_rotation_deg: half the range of the others.
        wide_share: the share of the others.
        tilt: largest foreshortening of one direction (1 / cosine of a camera's slant), drawn log-uniformly from 1.
        perspective: largest change of the projective weight from the view's centre to its border.
        shift_px: largest distance of a pair's second view from the first one's centre, in image pixels of a view of
            scale 1; divided by the first view's scale.
    """

    scale: tuple[float, float] = (0.35, 1.3)
    rotation_deg: float = 30.0
    wide_rotation_deg: float = 90.0
    wide_share: float = 0.2
    tilt: float = 2.0
    perspective: float = 0.25
    shift_px: float = 60.0


def random_homographies(
    centres: torch.Tensor, size: tuple[int, int], ranges: ViewRanges, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Homographies from image pixels to pixels of views.

    Args:
        centres: (N, 2), the image points that lie at the views' centres.
        size: (W, H) of the views in pixels.
        ranges: from what to draw.
        generator: of the centres' device.

    Returns:
        (N, 3, 3) float32 homographies and (N,) scales.
    """
    count, device = len(centres), centres.device

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    scale = torch.exp(uniform(*(math.log(value) for value in ranges.scale)))
    wide = torch.rand(count, generator=generator, device=device) < ranges.wide_share
    half_range = torch.where(wide, ranges.wide_rotation_deg, ranges.rotation_deg)
    rotation = torch.deg2rad(uniform(-1, 1) * half_range)
    tilt = torch.exp(uniform(0, math.log(ranges.tilt)))
    slant = uniform(0, math.pi)
    half_size = torch.tensor(size, device=device) / 2
    weights = (
        (2 * torch.rand((count, 2), generator=generator, device=device) - 1) * ranges.perspective / (2 * half_size)
    )

    squeeze = torch.diag_embed(torch.stack([torch.sqrt(tilt), 1 / torch.sqrt(tilt)], dim=1))
    turn_back = _rotations(slant)
    linear = scale[:, None, None] * (_rotations(rotation) @ turn_back @ squeeze @ turn_back.transpose(1, 2))
    affine = torch.eye(3, device=device).repeat(count, 1, 1)
    affine[:, :2, :2] = linear
    affine[:, :2, 2] = -(linear @ centres[:, :, None])[:, :, 0]
    projective = torch.eye(3, device=device).repeat(count, 1, 1)
    projective[:, 2, :2] = weights
    to_view = torch.eye(3, device=device).repeat(count, 1, 1)
    to_view[:, :2, 2] = half_size - 0.5
    return to_view @ projective @ affine, scale


def _rotations(angle: torch.Tensor) -> torch.Tensor:
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], dim=-2)


def transform(homographies: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Map points (N, K, 2) by homographies (N, 3, 3); points behind the view come out as infinity."""
    mapped = points @ homographies[:, :, :2].transpose(1, 2) + homographies[:, None, :, 2]
    weight = mapped[..., 2:]
    return torch.where(weight > 1e-6, mapped[..., :2] / weight.clamp_min(1e-6), torch.inf)


def pixel_grid(size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Pixel coordinates (H·W, 2) of an image of (W, H) pixels, (x, y), row by row."""
    rows, columns = torch.meshgrid(
        torch.arange(size[1], device=device), torch.arange(size[0], device=device), indexing="ij"
    )
    return torch.stack([columns, rows], dim=-1).reshape(-1, 2).float()


def sample(maps: torch.Tensor, points: torch.Tensor, *, size: tuple[int, int]) -> torch.Tensor:
    """Take maps (N, C, h, w) at points (N, K, 2), bilinearly.

    Args:
        maps: values; cell centres lie at the centres of the blocks of pixels that they stand for.
        points: in pixels of an image of ``size``.
        size: (W, H) of the image that the maps cover.

    Returns:
        (N, K, C); 0 outside.
    """
    extent = torch.tensor(size, device=points.device)
    grid = ((points + 0.5) / extent * 2 - 1).clamp(-2, 2)[:, :, None]
    return functional.grid_sample(maps, grid, align_corners=False)[..., 0].transpose(1, 2)


def warp(
    images: torch.Tensor, homographies: torch.Tensor, *, size: tuple[int, int], padding: str = "reflection"
) -> torch.Tensor:
    """Views (N, C, H, W) of ``size`` (W, H) of images (N, C, h, w), bilinear.

    Args:
        images: float.
        homographies: (N, 3, 3), from image pixels to view pixels.
        size: of the views.
        padding: what lies outside the images: ``reflection`` or ``zeros``.
    """
    height, width = images.shape[2:]
    pixels = pixel_grid(size, images.device).expand(len(images), -1, -1)
    source = transform(torch.linalg.inv(homographies), pixels)
    extent = torch.tensor((width, height), device=images.device)
    grid = ((source + 0.5) / extent * 2 - 1).nan_to_num(posinf=4.0).clamp(-4, 4)
    grid = grid.reshape(len(images), size[1], size[0], 2)
    return functional.grid_sample(images, grid, padding_mode=padding, align_corners=False)
