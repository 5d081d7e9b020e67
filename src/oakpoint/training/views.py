"""Pairs of augmented views of labelled images: what a training step sees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn import functional

from oakpoint.features.types import CELL_PX
from oakpoint.training.dataset import Dataset
from oakpoint.training.homographies import ViewRanges, random_homographies, transform, warp
from oakpoint.training.labels import FULL, HALF
from oakpoint.training.photometric import PhotometricRanges, augment

HALF_LEVEL_BELOW = 0.6
"""Views of a smaller scale are taken from images of half the size, averaged, so that they do not alias, and show the
keypoints that were found in those."""


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How views are drawn.

    Attributes:
        size: (W, H) of a view in pixels, multiples of 8.
        ranges: of their geometry.
        photometric: of their light, blur and noise.
        same_share: the share of pairs whose views have one geometry, and differ in light, blur and noise alone.
        pair_points: how many keypoints of a pair, seen in both views, teach descriptors at most.
        label_sigma_px: standard deviation of a keypoint's label within its cell, in pixels.
        score_power: exponent that makes a keypoint's score, against that of the data set's best, its label's
            probability. Homographic adaptation leaves good keypoints a fifth of the best one's score; a power below 1
            lifts them, and with them their weight on where they lie.
    """

    size: tuple[int, int] = (256, 192)
    ranges: ViewRanges = field(default_factory=ViewRanges)
    photometric: PhotometricRanges = field(default_factory=PhotometricRanges)
    same_share: float = 0.3
    pair_points: int = 128
    label_sigma_px: float = 0.5
    score_power: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ViewPairs:
    """B pairs of views.

    Attributes:
        views: (2B, 1, H, W) float32 in [0, 1]: the first views of all pairs, then the second ones.
        cells: (2B, 65, H/8, W/8), what the detector should say: probabilities, the dustbin last.
        cell_weights: (2B, H/8, W/8), 1 where the view shows the image, else 0.
        points: (2B, P, 2), where keypoints that both views of a pair show lie in each, in pixels.
        homographies: (2B, 3, 3), from pixels of the image to those of each view.
        descriptors: (B, P, D), the teacher's descriptors of them.
        valid: (B, P), which of these rows count.
        images: (B,), indices of the images.
    """

    views: torch.Tensor
    cells: torch.Tensor
    cell_weights: torch.Tensor
    points: torch.Tensor
    homographies: torch.Tensor
    descriptors: torch.Tensor
    valid: torch.Tensor
    images: torch.Tensor

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors by name, on the CPU, to be saved."""
        return {item.name: getattr(self, item.name).cpu() for item in fields(self)}


class PairSampler:
    """Draws view pairs; the same seed, step and rank give the same pairs."""

    def __init__(self, dataset: Dataset, indices: torch.Tensor, options: ViewOptions, device: torch.device) -> None:
        """Keep the images on the device (on the CPU they stay mapped).

        Args:
            dataset: labelled images.
            indices: of those that may be drawn.
            options: how to draw.
            device: where to work.
        """
        self._options = options
        self._indices = indices.to(device)
        self._device = device
        self._full = _tensor(dataset.images, device)
        self._points = _tensor(dataset.points, device)
        self._scores = _presence(_tensor(dataset.scores, device), options)
        self._descriptors = _tensor(dataset.descriptors, device)
        self._levels = _tensor(dataset.levels, device)

    @torch.no_grad()
    def draw(self, pairs: int, generator: torch.Generator) -> ViewPairs:
        """Draw pairs of views, each pair of one image."""
        options = self._options
        images = self._indices[torch.randint(len(self._indices), (pairs,), generator=generator, device=self._device)]
        homographies, scales = self._homographies(pairs, generator)
        twice = images.repeat(2)
        small = scales < HALF_LEVEL_BELOW
        views = augment(self._views(twice, homographies, small), options.photometric, generator)
        points = transform(homographies, self._points[twice])
        scores = self._scores[twice]
        level = torch.where(small, HALF, FULL).to(torch.uint8)[:, None]
        found_here = (self._levels[twice] & level) > 0
        cells = cell_labels(points, scores * found_here, options.size, sigma_px=options.label_sigma_px)
        weights = _shown_cells(homographies, self._full.shape[1:], options.size)
        chosen, valid = self._choose(points, scores, generator)
        rows = torch.arange(2 * pairs, device=self._device)[:, None]
        return ViewPairs(
            views,
            cells,
            weights,
            points[rows, chosen.repeat(2, 1)].nan_to_num(posinf=0.0),
            homographies,
            self._descriptors[images[:, None], chosen].float(),
            valid,
            images,
        )

    def _homographies(self, pairs: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = self._full.shape[1:]
        extent = torch.tensor([width, height], device=self._device)
        first = (0.15 + 0.7 * torch.rand((pairs, 2), generator=generator, device=self._device)) * extent
        first_from_image, first_scale = random_homographies(first, self._options.size, self._options.ranges, generator)
        shift = 2 * torch.rand((pairs, 2), generator=generator, device=self._device) - 1
        second = first + shift * self._options.ranges.shift_px / first_scale[:, None]
        second = second.clamp_min(0).minimum(extent - 1)
        second_from_image, second_scale = random_homographies(
            second, self._options.size, self._options.ranges, generator
        )
        same = torch.rand(pairs, generator=generator, device=self._device) < self._options.same_share
        second_from_image = torch.where(same[:, None, None], first_from_image, second_from_image)
        second_scale = torch.where(same, first_scale, second_scale)
        return torch.cat([first_from_image, second_from_image]), torch.cat([first_scale, second_scale])

    def _views(self, images: torch.Tensor, homographies: torch.Tensor, small: torch.Tensor) -> torch.Tensor:
        width, height = self._options.size
        views = torch.empty((len(images), 1, height, width), device=self._device)
        full_from_half = torch.tensor([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]], device=self._device)
        for chosen, to_full in ((~small, None), (small, full_from_half)):
            rows = torch.nonzero(chosen)[:, 0]
            if len(rows):
                drawn = self._full[images[rows]]  # of mapped images, only these come into memory
                source = (drawn if to_full is None else _halved(drawn))[:, None].float() / 255
                mapping = homographies[rows] if to_full is None else homographies[rows] @ to_full
                views[rows] = warp(source, mapping, size=self._options.size)
        return views

    def _choose(
        self, points: torch.Tensor, scores: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw keypoints (B, P) that both views of a pair show, and which rows hold one (B, P)."""
        shown = _inside(points, self._options.size) & (scores > 0)
        both = shown[: len(shown) // 2] & shown[len(shown) // 2 :]
        lot = torch.rand(both.shape, generator=generator, device=self._device) * both
        lots, chosen = torch.topk(lot, min(self._options.pair_points, lot.shape[1]), dim=1)
        return chosen, lots > 0


def _presence(scores: torch.Tensor, options: ViewOptions) -> torch.Tensor:
    """Probabilities (N, K) of keypoints from their scores; what scores higher than all but 1 % is certain.

    Corners that are known (score 1) are certain, and do not count among the others.
    """
    guessed = scores[(scores > 0) & (scores < 1)]
    if not len(guessed):
        return scores
    best = torch.kthvalue(guessed, max(1, round(0.99 * len(guessed)))).values
    return (scores / best).clamp_max(1) ** options.score_power


def cell_labels(points: torch.Tensor, scores: torch.Tensor, size: tuple[int, int], *, sigma_px: float) -> torch.Tensor:
    """What the detector should say: for each cell the best keypoint in it, spread by a Gaussian.

    The best is the highest-scoring one; of equals, the first.

    Args:
        points: (N, K, 2), pixels of the views.
        scores: (N, K), probability of each keypoint; 0 for rows that hold none.
        size: (W, H) of the views.
        sigma_px: standard deviation of the Gaussian, cut at the cell's border.

    Returns:
        (N, 65, H/8, W/8): the cell's pixels sum to the keypoint's probability, the dustbin holds the rest.
    """
    columns, rows = size[0] // CELL_PX, size[1] // CELL_PX
    usable = _inside(points, size) & (scores > 0)
    at = torch.where(usable[..., None], points, 0)
    cell = torch.div(at + 0.5, CELL_PX, rounding_mode="floor")
    index = (cell[..., 1] * columns + cell[..., 0]).long()
    value = torch.where(usable, scores, 0)
    best = torch.zeros((len(points), rows * columns), device=points.device)
    best.scatter_reduce_(1, index, value, "amax")
    order = torch.arange(points.shape[1], device=points.device).expand_as(index)
    order = torch.where(usable & (value == best.gather(1, index)), order, points.shape[1])
    first = torch.full(best.shape, points.shape[1], device=points.device).scatter_reduce_(1, index, order, "amin")
    view, row = torch.nonzero((order < points.shape[1]) & (order == first.gather(1, index)), as_tuple=True)
    offset = at[view, row] - CELL_PX * cell[view, row]
    steps = torch.arange(CELL_PX, device=points.device)
    along_x = torch.exp(-((steps - offset[:, :1]) ** 2) / (2 * sigma_px**2))
    along_y = torch.exp(-((steps - offset[:, 1:]) ** 2) / (2 * sigma_px**2))
    spread = (along_y[:, :, None] * along_x[:, None, :]).flatten(1)
    spread = spread / spread.sum(dim=1, keepdim=True) * value[view, row, None]
    labels = torch.zeros((len(points), rows * columns, CELL_PX**2 + 1), device=points.device)
    labels[view, index[view, row], :-1] = spread
    labels[..., -1] = 1 - best
    return labels.transpose(1, 2).reshape(len(points), -1, rows, columns)


def _inside(points: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    upper = torch.tensor(size, device=points.device) - 0.5
    return ((points >= -0.5) & (points < upper)).all(dim=-1)


def _shown_cells(homographies: torch.Tensor, image_shape: torch.Size, size: tuple[int, int]) -> torch.Tensor:
    """(N, H/8, W/8), 1 for cells whose centre lies within the image."""
    columns, rows = size[0] // CELL_PX, size[1] // CELL_PX
    y, x = torch.meshgrid(
        torch.arange(rows, device=homographies.device), torch.arange(columns, device=homographies.device), indexing="ij"
    )
    centres = torch.stack([x, y], dim=-1).reshape(1, -1, 2) * CELL_PX + (CELL_PX - 1) / 2
    source = transform(torch.linalg.inv(homographies), centres.expand(len(homographies), -1, -1))
    return _inside(source, (image_shape[1], image_shape[0])).float().reshape(-1, rows, columns)


def _tensor(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """The array on a device; on the CPU it shares the mapped file's memory."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)


def _halved(images: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(images[:, None].float(), 2)[:, 0].round().to(torch.uint8)
