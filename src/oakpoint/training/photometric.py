"""Photometric augmentation of grey views in batches, on any torch device: light, blur, motion, noise, JPEG."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

BLUR_KERNEL = 9
JPEG_BLOCK = 8

# Luminance quantisation of ITU-T T.81 (JPEG), annex K, table K.1.
_JPEG_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


@dataclass(frozen=True, slots=True)
class PhotometricRanges:
    """How strongly views are changed; each change comes with its own probability.

    Attributes:
        gamma: largest exponent on the brightness (and one over it, the smallest), drawn log-uniformly.
        contrast: smallest and largest factor around the mean.
        brightness: largest shift, in units of the full range.
        shading: largest relative change of a smooth light field over the view.
        noise: largest standard deviation of Gaussian noise, in units of the full range.
        blur_px: largest standard deviation of a Gaussian blur.
        motion_px: largest length of a motion blur.
        jpeg_quality: lowest and highest JPEG quality.
        probability: with which each of shading, noise, blur (or motion) and JPEG comes.
    """

    gamma: float = 1.8
    contrast: tuple[float, float] = (0.25, 1.5)
    brightness: float = 0.3
    shading: float = 0.6
    noise: float = 0.05
    blur_px: float = 1.4
    motion_px: float = 6.0
    jpeg_quality: tuple[float, float] = (15, 90)
    probability: float = 0.3


def augment(views: torch.Tensor, ranges: PhotometricRanges, generator: torch.Generator) -> torch.Tensor:
    """Change views (N, 1, H, W) in [0, 1], H and W multiples of 8, each in its own way.

    The result holds grey levels as a camera gives them: multiples of 1/255 in [0, 1].
    """
    draw = _Draw(len(views), views.device, generator)
    views = _change_some(views, _shaded, ranges, draw)
    views = _exposed(views, ranges, draw)
    views = _change_some(views, _blurred, ranges, draw)
    views = _change_some(views, _noisy, ranges, draw)
    return torch.round(255 * _change_some(views, _jpeg, ranges, draw)) / 255


class _Draw:
    """Random numbers for a batch of views."""

    def __init__(self, count: int, device: torch.device, generator: torch.Generator) -> None:
        self.count, self.device, self.generator = count, device, generator

    def of(self, count: int) -> _Draw:
        return _Draw(count, self.device, self.generator)

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """(N, 1, 1, 1), or (N, *shape) when a shape is given."""
        numbers = torch.rand((self.count, *(shape or (1, 1, 1))), generator=self.generator, device=self.device)
        return low + (high - low) * numbers

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn((self.count, *shape), generator=self.generator, device=self.device)


Change = Callable[[torch.Tensor, PhotometricRanges, _Draw], torch.Tensor]


def _change_some(views: torch.Tensor, change: Change, ranges: PhotometricRanges, draw: _Draw) -> torch.Tensor:
    chosen = torch.nonzero(draw.uniform(0, 1)[:, 0, 0, 0] < ranges.probability)[:, 0]
    if len(chosen) == 0:
        return views
    return views.index_copy(0, chosen, change(views[chosen], ranges, draw.of(len(chosen))))


def _exposed(views: torch.Tensor, ranges: PhotometricRanges, draw: _Draw) -> torch.Tensor:
    gamma = torch.exp(draw.uniform(-1, 1) * math.log(ranges.gamma))
    mean = views.mean(dim=(2, 3), keepdim=True)
    contrasted = (views - mean) * draw.uniform(*ranges.contrast) + mean
    shifted = contrasted + draw.uniform(-ranges.brightness, ranges.brightness)
    return shifted.clamp(0, 1) ** gamma


def _shaded(views: torch.Tensor, ranges: PhotometricRanges, draw: _Draw) -> torch.Tensor:
    light = 1 + draw.uniform(-ranges.shading, ranges.shading, 1, 4, 4)
    smooth = functional.interpolate(light, size=views.shape[2:], mode="bicubic", align_corners=False)
    return (views * smooth).clamp(0, 1)


def _noisy(views: torch.Tensor, ranges: PhotometricRanges, draw: _Draw) -> torch.Tensor:
    deviation = draw.uniform(0, ranges.noise)
    return (views + deviation * draw.normal(*views.shape[1:])).clamp(0, 1)


def _blurred(views: torch.Tensor, ranges: PhotometricRanges, draw: _Draw) -> torch.Tensor:
    """Half of the views are blurred by a Gaussian, half by motion along a line."""
    steps = torch.arange(BLUR_KERNEL, device=views.device) - BLUR_KERNEL // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    deviation = draw.uniform(0.2, ranges.blur_px)
    gaussian = torch.exp(-(x**2 + y**2) / (2 * deviation**2))
    angle, length = draw.uniform(0, math.pi), draw.uniform(1, ranges.motion_px)
    along = x * torch.cos(angle) + y * torch.sin(angle)
    across = -x * torch.sin(angle) + y * torch.cos(angle)
    line = (1 - across.abs()).clamp_min(0) * (length / 2 + 0.5 - along.abs()).clamp(0, 1)
    kernels = torch.where(draw.uniform(0, 1) < 0.5, gaussian, line)
    kernels = kernels / kernels.sum(dim=(2, 3), keepdim=True)
    padded = functional.pad(views, (BLUR_KERNEL // 2,) * 4, mode="reflect")
    return functional.conv2d(padded.transpose(0, 1), kernels, groups=len(views)).transpose(0, 1)


def _jpeg(views: torch.Tensor, ranges: PhotometricRanges, draw: _Draw) -> torch.Tensor:
    """Quantise the 8×8 cosine transform as JPEG does; libjpeg's scale of its quality, entropy coding left out."""
    quality = draw.uniform(*ranges.jpeg_quality)[..., None, None]
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = torch.tensor(_JPEG_LUMINANCE, dtype=views.dtype, device=views.device)
    steps = (table * scale).clamp(1, 255)
    count, _, height, width = views.shape
    blocks = (views * 255 - 128).reshape(count, height // JPEG_BLOCK, JPEG_BLOCK, width // JPEG_BLOCK, JPEG_BLOCK)
    blocks = blocks.transpose(2, 3)
    cosines = _cosine_basis(views.device)
    coefficients = cosines @ blocks @ cosines.T
    steps = steps.reshape(count, 1, 1, JPEG_BLOCK, JPEG_BLOCK)
    restored = cosines.T @ (torch.round(coefficients / steps) * steps) @ cosines
    return ((restored.transpose(2, 3).reshape(views.shape) + 128) / 255).clamp(0, 1)


def _cosine_basis(device: torch.device) -> torch.Tensor:
    """Orthonormal DCT-II (8, 8): rows are frequencies."""
    index = torch.arange(JPEG_BLOCK, device=device, dtype=torch.float32)
    basis = torch.cos(math.pi * (index[None] + 0.5) * index[:, None] / JPEG_BLOCK) * math.sqrt(2 / JPEG_BLOCK)
    basis[0] /= math.sqrt(2)
    return basis
