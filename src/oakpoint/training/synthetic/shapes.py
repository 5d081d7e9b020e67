"""Shapes at random whose corners are known: what one drawing puts on an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.geometry import warped_by_homography
from oakpoint.training.synthetic.coverage import Contour
from oakpoint.training.synthetic.glyphs import GLYPHS, HEIGHT, PITCH

CONTRAST = 35.0
"""Least difference of a shape's grey from what lies behind it."""

SMALLEST_SIDE_PX = 9.0
"""Cells of boards and grids are about this large at least."""

MOST_POINTS = 256
"""No drawing has more corners than this."""

_FACES = ((0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5))
"""Of a box: indices of vertices, whose bits are the signs of x, y and z."""

_SHARPEST_TURN, _FLATTEST_TURN = math.radians(155), math.radians(30)


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Polygons that do not overlap, unless they have the same grey, and the corners that they make.

    Attributes:
        contours: polygons in pixels.
        values: (len(contours),), grey.
        points: (K, 2), corners in pixels.
    """

    contours: Sequence[Contour]
    values: NDArray[np.float64]
    points: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """Where something is drawn.

    Attributes:
        centre: (2,), pixels.
        radius_px: what is drawn stays about within this of the centre.
        grey: what lies behind, on average.
    """

    centre: NDArray[np.float64]
    radius_px: float
    grey: float


Draw = Callable[[Spot, np.random.Generator], Drawing]


def contrasting(grey: float, rng: np.random.Generator, least: float = CONTRAST) -> float:
    """A grey in [0, 255] that differs from another by at least so much."""
    below, above = max(grey - least, 0.0), max(255 - grey - least, 0.0)
    lot = rng.uniform(0, below + above)
    return lot if lot < below else grey + least + lot - below


def corners(contour: Contour) -> NDArray[np.float64]:
    """The vertices (K, 2) at which an outline turns sharply, but not so sharply that the tip is a line."""
    after = np.roll(contour, -1, axis=0) - contour
    before = np.roll(after, 1, axis=0)
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turn = np.abs(np.arctan2(cross, (before * after).sum(axis=1)))
    return np.asarray(contour[(turn > _FLATTEST_TURN) & (turn < _SHARPEST_TURN)])


def polygon(spot: Spot, rng: np.random.Generator) -> Drawing:
    """A polygon of 3 to 7 vertices, or a star of 4 to 7 rays."""
    contour = spot.centre + spot.radius_px * (_star(rng) if rng.random() < 0.35 else _round_polygon(rng))
    return Drawing([contour], np.array([contrasting(spot.grey, rng)]), corners(contour))


def _round_polygon(rng: np.random.Generator) -> Contour:
    """Vertices on rays from the centre, at most 1 away, with room between them."""
    count = int(rng.integers(3, 8))
    gaps = 0.5 / count + rng.dirichlet(np.full(count, 3.0)) * 0.5
    angles = 2 * math.pi * (np.cumsum(gaps) + rng.random())
    return np.asarray(rng.uniform(0.6, 1.0, count)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _star(rng: np.random.Generator) -> Contour:
    rays = int(rng.integers(4, 8))
    angles = math.pi * np.arange(2 * rays) / rays + rng.uniform(0, 2 * math.pi)
    radii = np.tile([1.0, rng.uniform(0.4, 0.6)], rays) * rng.uniform(0.85, 1.0, 2 * rays)
    return np.asarray(radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


def ellipse(spot: Spot, rng: np.random.Generator) -> Drawing:
    """An ellipse: no corners."""
    angles = np.linspace(0, 2 * math.pi, 96, endpoint=False)
    axes = np.array([1.0, rng.uniform(0.55, 1.0)]) * max(spot.radius_px, 8)
    contour = spot.centre + (axes * np.stack([np.cos(angles), np.sin(angles)], axis=1)) @ _turn(rng)
    return Drawing([contour], np.array([contrasting(spot.grey, rng)]), np.empty((0, 2)))


def checkerboard(spot: Spot, rng: np.random.Generator) -> Drawing:
    """A board seen at a slant."""
    most = max(2, min(13, int(1.2 * spot.radius_px / SMALLEST_SIDE_PX)))
    columns, rows = (int(count) for count in rng.integers(2, most + 1, 2))
    lattice = np.stack(np.meshgrid(np.arange(columns + 1), np.arange(rows + 1)), axis=-1)
    unit = lattice.reshape(-1, 2) / np.array([columns, rows])
    points = warped_by_homography(_slanted(spot, columns / rows, rng), unit).reshape(rows + 1, columns + 1, 2)
    cells = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2).reshape(-1, 4, 2)
    one = contrasting(spot.grey, rng)
    other = contrasting(one, rng, 60)
    odd = np.add.outer(np.arange(rows), np.arange(columns)).ravel() % 2 == 1
    return Drawing(list(cells), np.where(odd, one, other), points.reshape(-1, 2))


def box(spot: Spot, rng: np.random.Generator) -> Drawing:
    """A box in space, each of its visible faces of another grey."""
    corner = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * rng.uniform(0.5, 1.0, 3)
    turned = corner @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    eye = np.array([0, 0, -rng.uniform(3.5, 8.0)])
    flat = turned[:, :2] / (turned[:, 2:] - eye[2])
    vertices = spot.centre + spot.radius_px * flat / np.linalg.norm(flat, axis=1).max()
    middles = [turned[list(face)].mean(axis=0) for face in _FACES]
    seen = [list(face) for face, middle in zip(_FACES, middles, strict=True) if middle @ (middle - eye) < 0]
    shown = sorted({index for face in seen for index in face})
    return Drawing([vertices[face] for face in seen], _shades(spot.grey, len(seen), rng), vertices[shown])


def _shades(grey: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Up to three greys that differ from what lies behind and from each other."""
    steps = np.arange(0.0, 256.0, CONTRAST) + rng.uniform(0, 255 % CONTRAST)
    return rng.permutation(steps[np.abs(steps - grey) >= 0.7 * CONTRAST])[:count]


def text(spot: Spot, rng: np.random.Generator) -> Drawing:
    """A word of block letters in straight strokes, seen at a slant."""
    count = int(rng.integers(1, max(2, min(8, int(spot.radius_px / 9))) + 1))
    extent = np.array([count * PITCH - 1, HEIGHT])
    letters = rng.integers(len(GLYPHS), size=count)
    flat = [(GLYPHS[letter] + (place * PITCH, 0)) / extent for place, letter in enumerate(letters)]
    homography = _slanted(spot, extent[0] / extent[1], rng)
    contours = [warped_by_homography(homography, outline) for outline in flat]
    points = np.concatenate([corners(contour) for contour in contours])
    return Drawing(contours, np.full(count, contrasting(spot.grey, rng)), points)


def lines(spot: Spot, rng: np.random.Generator) -> Drawing:
    """Thin segments, rays from one point, or a grid seen at a slant; ends and crossings are the corners."""
    kind = rng.integers(3)
    if kind == 0:
        segments = spot.centre + spot.radius_px * rng.uniform(-0.75, 0.75, (int(rng.integers(2, 6)), 2, 2))
    elif kind == 1:
        tips = spot.centre + spot.radius_px * _round_polygon(rng)
        segments = np.stack([np.broadcast_to(spot.centre, tips.shape), tips], axis=1)
    else:
        segments = _grid(spot, rng)
    length = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1)
    segments = segments[length > 2 * SMALLEST_SIDE_PX]
    crossings = [point for first, second in combinations(segments, 2) for point in _crossing(first, second)]
    points = np.concatenate([np.array(crossings).reshape(-1, 2), segments.reshape(-1, 2)])
    width_px = rng.uniform(1.2, 3.0)
    strips = [_strip(segment, width_px) for segment in segments]
    return Drawing(strips, np.full(len(strips), contrasting(spot.grey, rng, 1.5 * CONTRAST)), points)


def _grid(spot: Spot, rng: np.random.Generator) -> NDArray[np.float64]:
    """Segments (S, 2, 2) that stand out a little over the outermost crossings."""
    most = max(3, min(9, int(0.8 * spot.radius_px / SMALLEST_SIDE_PX)))
    columns, rows = (int(count) for count in rng.integers(2, most, 2))
    homography = _slanted(spot, columns / rows, rng)
    across = [((0, t), (1, t)) for t in (np.arange(rows) + 0.5) / rows]
    down = [((t, 0), (t, 1)) for t in (np.arange(columns) + 0.5) / columns]
    return warped_by_homography(homography, np.array(across + down).reshape(-1, 2)).reshape(-1, 2, 2)


def _crossing(first: NDArray[np.float64], second: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Where two segments (2, 2) cross, if they do so at 20° or more."""
    along, other = first[1] - first[0], second[1] - second[0]
    cross = along[0] * other[1] - along[1] * other[0]
    if abs(cross) < math.sin(math.radians(20)) * np.linalg.norm(along) * np.linalg.norm(other):
        return []
    between = second[0] - first[0]
    at_first = (between[0] * other[1] - between[1] * other[0]) / cross
    at_second = (between[0] * along[1] - between[1] * along[0]) / cross
    return [first[0] + at_first * along] if 0 <= at_first <= 1 and 0 <= at_second <= 1 else []


def _strip(segment: NDArray[np.float64], width_px: float) -> Contour:
    along = segment[1] - segment[0]
    aside = np.array([-along[1], along[0]]) / np.linalg.norm(along) * width_px / 2
    return np.stack([segment[0] + aside, segment[1] + aside, segment[1] - aside, segment[0] - aside])


def texture(spot: Spot, rng: np.random.Generator) -> Drawing:
    """Many small polygons beside each other."""
    pitch_px = max(rng.uniform(18, 36), spot.radius_px / 3)
    count = max(1, min(6, int(1.4 * spot.radius_px / pitch_px)))
    steps = (np.arange(count) - (count - 1) / 2) * pitch_px
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) @ _turn(rng) + spot.centre
    radii = pitch_px * rng.uniform(0.3, 0.42, len(grid))
    centres = grid + rng.uniform(-0.07, 0.07, grid.shape) * pitch_px
    contours = [centre + radius * _round_polygon(rng) for centre, radius in zip(centres, radii, strict=True)]
    values = np.array([contrasting(spot.grey, rng) for _ in contours])
    return Drawing(contours, values, np.concatenate([corners(contour) for contour in contours]))


def _turn(rng: np.random.Generator) -> NDArray[np.float64]:
    angle = rng.uniform(0, 2 * math.pi)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _slanted(spot: Spot, aspect: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A homography from the unit square to a rectangle of this aspect on the spot, each corner moved a little."""
    stretch = aspect * math.exp(rng.uniform(-0.3, 0.3))
    half = np.array([stretch, 1.0]) / math.hypot(stretch, 1.0) * spot.radius_px
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    moved = square * half + rng.uniform(-0.22, 0.22, (4, 2)) * min(half)
    quad = (moved @ _turn(rng) + spot.centre).astype(np.float32)
    unit = ((square + 1) / 2).astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(unit, quad), np.float64)
