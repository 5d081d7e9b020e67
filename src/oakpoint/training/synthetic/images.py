"""Grey images drawn at random, with their corners to a fraction of a pixel.

Photographs show a detector what it will meet; drawn images show it what a corner is, where a teacher may be wrong by
a pixel or two. In the spirit of DeTone et al. 2018, arXiv 1712.07629, section 4, whose network first learns from
drawn shapes. Where one shape hides part of another, their outlines meet in a point that moves with the view: it is no
corner of anything and is not counted.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.geometry import inside_image
from oakpoint.training.labels import FULL, HALF, ImageLabels
from oakpoint.training.synthetic.coverage import coverage
from oakpoint.training.synthetic.shapes import (
    MOST_POINTS,
    Draw,
    Drawing,
    Spot,
    box,
    checkerboard,
    ellipse,
    lines,
    polygon,
    text,
    texture,
)

SMALLEST_PX = 64
MAX_POINTS = 768
"""No image has more corners than this."""

BORDER_PX = 2.0
"""Corners nearer to the border are not counted."""

CLEAR_PX = 3
"""A shape drawn within this of a corner spoils it."""

APART_PX = 3.0
"""Of corners nearer to each other than this only the first counts."""

CORNERNESS = 4e-4
"""Least smaller eigenvalue of the structure tensor at a corner (``cv2.cornerMinEigenVal``, block 5, greys in [0, 1]):
what a right angle has at a contrast of 14 grey levels."""

KINDS: tuple[tuple[Draw, float], ...] = (
    (polygon, 0.30),
    (checkerboard, 0.12),
    (box, 0.15),
    (text, 0.15),
    (lines, 0.10),
    (texture, 0.08),
    (ellipse, 0.10),
)
"""What is drawn, and how often."""

EMPTY_SHARE = 0.04
"""How many images show a background with noise only."""


def synthetic_image(size: tuple[int, int], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw an image.

    Args:
        size: (W, H) in pixels, 64 or more each.
        rng: gives the same image from the same state.

    Returns:
        The image, uint8 (H, W), and its corners, float32 (K, 2), in pixels; K is at most ``MAX_POINTS``.

    Raises:
        UsageError: a smaller size.
    """
    if min(size) < SMALLEST_PX:
        raise UsageError(f"size: expected {SMALLEST_PX}×{SMALLEST_PX} px or more, got {size[0]}×{size[1]}")
    canvas = _Canvas(_background(size, rng))
    if rng.random() >= EMPTY_SHARE:
        _fill(canvas, size, rng)
    points = _visible(canvas.image, canvas.points)
    return _photographed(canvas.image, rng), points.astype(np.float32)


def true_labels(points: NDArray[np.float32], *, descriptor_dim: int) -> ImageLabels:
    """Corners (K, 2) that are known as labels: certain, and with descriptors of zero.

    A zero descriptor is as near to one keypoint as to the next: compared with it, a network's descriptors have no
    gradient.
    """
    count = len(points)
    levels = np.full(count, FULL | HALF, np.uint8)
    return ImageLabels(points, np.ones(count, np.float32), np.zeros((count, descriptor_dim), np.float16), levels)


class _Canvas:
    """An image that is drawn on, and the corners that are still to be seen."""

    def __init__(self, image: NDArray[np.float32]) -> None:
        self.image = image
        self.points = np.empty((0, 2))

    def grey_at(self, centre: NDArray[np.float64], radius_px: float) -> float:
        """Mean grey about a point."""
        height, width = self.image.shape
        left, top = np.clip((centre - radius_px).astype(int), 0, (width - 1, height - 1))
        right, bottom = np.clip((centre + radius_px).astype(int) + 1, (left + 1, top + 1), (width, height))
        return float(self.image[top:bottom:4, left:right:4].mean())

    def draw(self, drawing: Drawing) -> None:
        """Draw over what is there; corners that this hides or touches are forgotten."""
        if not len(drawing.contours):
            return
        height, width = self.image.shape
        low = np.min([contour.min(axis=0) for contour in drawing.contours], axis=0)
        high = np.max([contour.max(axis=0) for contour in drawing.contours], axis=0)
        left, top = np.clip(np.floor(low).astype(int) - CLEAR_PX, 0, (width, height))
        right, bottom = np.clip(np.ceil(high).astype(int) + CLEAR_PX + 1, 0, (width, height))
        if left < right and top < bottom:
            contours = [contour - (left, top) for contour in drawing.contours]
            share, grey = coverage(contours, drawing.values, (right - left, bottom - top))
            part = self.image[top:bottom, left:right]
            part += share * (grey - part)
            self._forget(share, left, top)
        inside = inside_image(drawing.points, (width, height))
        self.points = np.concatenate([self.points, drawing.points[inside]])

    def _forget(self, share: NDArray[np.float32], left: int, top: int) -> None:
        square = np.ones((2 * CLEAR_PX + 1, 2 * CLEAR_PX + 1), np.uint8)
        touched = cv2.dilate(share, square) > 0.02
        column, row = (np.rint(self.points).astype(int) - (left, top)).T
        inside = (column >= 0) & (column < share.shape[1]) & (row >= 0) & (row < share.shape[0])
        spoilt = np.zeros(len(self.points), np.bool_)
        spoilt[inside] = touched[row[inside], column[inside]]
        self.points = self.points[~spoilt]


def _fill(canvas: _Canvas, size: tuple[int, int], rng: np.random.Generator) -> None:
    """Draw shapes of several kinds and sizes; in most images few of them overlap."""
    draws = [draw for draw, _ in KINDS]
    weights = np.array([weight for _, weight in KINDS])
    extent, shorter = np.array(size), min(size)
    crowd = int(rng.integers(6, 40))
    largest_px = shorter * rng.uniform(0.12, 0.45)
    overlap = 0.25 if rng.random() < 0.4 else 0.0
    taken: list[tuple[NDArray[np.float64], float]] = []
    for _ in range(crowd):
        if len(canvas.points) + MOST_POINTS > MAX_POINTS:
            break
        radius_px = math.exp(rng.uniform(math.log(12), math.log(max(largest_px, 16))))
        for _ in range(8):
            centre = rng.uniform(0, 1, 2) * extent
            free = all(math.dist(centre, other) > radius_px + other_px for other, other_px in taken)
            if free or rng.random() < overlap:
                break
        else:
            continue
        taken.append((centre, radius_px))
        draw = draws[int(rng.choice(len(draws), p=weights / weights.sum()))]
        canvas.draw(draw(Spot(centre, radius_px, canvas.grey_at(centre, radius_px)), rng))


def _background(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """A smooth gradient, with texture of several scales on some images and stripes on others."""
    width, height = size
    image = _enlarged(rng.uniform(-1, 1, (2, 2)) * rng.uniform(0, 40), size) + np.float32(rng.uniform(40, 215))
    if rng.random() < 0.5:
        scales = rng.choice([3, 8, 20, 50, 110], int(rng.integers(1, 4)), replace=False)
        deviation = rng.uniform(3, 13) / math.sqrt(len(scales))
        for cells in scales:
            rows = max(2, round(cells * height / width))
            image += _enlarged(rng.normal(0, deviation, (rows, int(cells))), size)
    elif rng.random() < 0.4:
        angle, period_px = rng.uniform(0, math.pi), rng.uniform(12, 80)
        turns = np.arange(width, dtype=np.float32) * np.float32(math.cos(angle) / period_px)
        wave = np.sin(
            2 * math.pi * (turns + np.arange(height, dtype=np.float32)[:, None] * math.sin(angle) / period_px)
        )
        sharpness = rng.uniform(1, period_px / 4)
        image += np.float32(rng.uniform(4, 18)) * np.clip(sharpness * wave, -1, 1).astype(np.float32)
    return np.asarray(np.clip(image, 0, 255), np.float32)


def _enlarged(cells: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(cells.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), np.float32)


def _visible(image: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners that lie inside, stand out and are not too near to each other."""
    height, width = image.shape
    points = points[((points >= BORDER_PX) & (points <= np.array([width, height]) - 1 - BORDER_PX)).all(axis=1)]
    if not len(points):
        return points
    cornerness = cv2.cornerMinEigenVal(image / np.float32(255), 5)
    column, row = np.rint(points).astype(int).T
    highest = np.max([cornerness[row + dy, column + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
    points = points[highest >= CORNERNESS]
    near = np.linalg.norm(points[:, None] - points, axis=2) < APART_PX
    return np.asarray(points[~np.tril(near, -1).any(axis=1)])


def _photographed(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A little blur and noise, as a camera adds them, in grey levels."""
    blur_px = rng.uniform(0, 1.0)
    if blur_px > 0.3:  # a narrower kernel is a single pixel
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur_px), np.float32)
    noise = rng.uniform(-3, 6)
    if noise > 0:
        image = image + np.float32(noise) * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
