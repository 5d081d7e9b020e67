"""Pairs without a dataset: random homographies and photometric noise over photographs, from a seed.

The first image of a sequence is the middle of a photograph; the others look at it from elsewhere: four corners placed
at random, then contrast, brightness, blur and noise. Where a view leaves the photograph, the photograph is mirrored;
there is no black border that a detector could find.

A sequence holds no pixels: a photograph is decoded, and a view drawn, when it is read. All views of a photograph come
from one stream of random numbers, which the seed and the photograph's name decide: a view alone is the same as one in
turn.

The views are interpolated once (``cv2.INTER_LINEAR``), so they are a little softer than the first image. Such pairs
are easier than real ones and know no real change of light: use them to compare, not to quote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, MissingExtraError, UsageError
from oakpoint.evaluate.pairs import Dataset, Image, Sequence, SequenceImage, SequenceView, Skipped, View
from oakpoint.files import shown_name
from oakpoint.images.photographs import photographs_in_wheels
from oakpoint.images.preprocess import grey_from_image
from oakpoint.images.reading import find_images, no_image_in, read_image


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """How views are drawn. Ranges are in the spirit of SuperPoint's homographic adaptation (its section 5.2).

    Attributes:
        views: other images for each photograph.
        seed: of all draws, together with the photograph's name.
        view_share: side of a view over that of the photograph.
        largest_view: (W, H) in pixels that a view has at most; larger photographs are scaled down first.
        turn_deg: largest rotation, either way.
        zoom: largest scale factor; the smallest is its inverse.
        tilt_share: how far each corner moves by itself, over the view's side.
        contrast: largest change of the contrast factor from 1.
        brightness: largest shift in grey levels.
        blur_px: largest sigma of a Gaussian blur.
        noise: largest sigma of Gaussian noise in grey levels.

    Raises:
        UsageError: fewer than one view.
    """

    views: int = 5
    seed: int = 0
    view_share: float = 0.7
    largest_view: tuple[int, int] = (640, 480)
    turn_deg: float = 30.0
    zoom: float = 1.3
    tilt_share: float = 0.1
    contrast: float = 0.4
    brightness: float = 30.0
    blur_px: float = 1.0
    noise: float = 8.0

    def __post_init__(self) -> None:
        if self.views < 1:
            raise UsageError(f"views: expected 1 or more for each photograph, got {self.views}")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, got {self.seed}")


SMALLEST_VIEW_PX = 64


def synthetic_dataset(folder: Path | None, options: SyntheticOptions) -> Dataset:
    """A sequence for each photograph of a folder (with its subfolders), or for each in the wheels.

    No photograph is read yet: one that cannot be, or is too small, raises ImageError when its turn comes.

    Raises:
        ImageError: no such folder, or no image in it.
        MissingExtraError: no folder was given and neither scikit-image nor scikit-learn is installed.
    """
    skipped: list[Skipped] = []
    if folder is not None:
        found = find_images(folder, recursive=True)
        skipped += [Skipped(shown_name(name), reason) for name, reason in found.unreadable.items()]
        paths = {shown_name(name): folder / name for name in found.names}
        if not paths:
            raise ImageError(no_image_in(folder, recursive=True))
    else:
        paths = photographs_in_wheels()
        if not paths:
            raise MissingExtraError(
                "scikit-image, whose photographs synthetic pairs are made of (or give --dataset or --photographs),",
                "eval",
            )
    where = shown_name(str(folder)) if folder else "photographs in scikit-image's and scikit-learn's wheels"
    last = _LastPhotograph(options)
    sequences = tuple(_sequence(name, options.views, last.opening(name, path)) for name, path in paths.items())
    return Dataset(f"synthetic homographies over {where}, seed {options.seed}", sequences, tuple(skipped))


def synthetic_sequence(name: str, photograph: Image, options: SyntheticOptions) -> Sequence:
    """Views of one photograph; the same name, photograph and options give the same views.

    Raises:
        ImageError: a photograph too small for a view of 64×64 px.
    """
    made = _Photograph(name, photograph, options)
    return _sequence(name, options.views, lambda: made)


def _sequence(name: str, views: int, opened: Callable[[], _Photograph]) -> Sequence:
    others = tuple(
        SequenceView(f"{name}/{index + 2}.png", lambda index=index: opened().view(index))  # type: ignore[misc]
        for index in range(views)
    )
    return Sequence(name, SequenceImage(f"{name}/1.png", lambda: opened().first()), others)


@final
class _LastPhotograph:
    """The photograph that was read last, kept for the views that are asked for next; all others are given back."""

    def __init__(self, options: SyntheticOptions) -> None:
        self._options = options
        self._path: Path | None = None
        self._photograph: _Photograph | None = None

    def opening(self, name: str, path: Path) -> Callable[[], _Photograph]:
        """What reads a photograph unless it was the last one; raises ImageError."""

        def opened() -> _Photograph:
            if self._photograph is None or self._path != path:
                self._photograph = None  # so that there are never two
                self._photograph, self._path = _Photograph(name, read_image(path), self._options), path
            return self._photograph

        return opened


@final
class _Photograph:
    """A decoded photograph, and the views of it.

    Args:
        name: decides on the views, with the options' seed.
        photograph: uint8 (H, W) or (H, W, 3) BGR.
        options: how views are drawn.

    Raises:
        ImageError: too small.
    """

    def __init__(self, name: str, photograph: Image, options: SyntheticOptions) -> None:
        grey = grey_from_image(photograph)
        self._options = options
        self._size, shrink = _view_size(name, grey, options)
        if shrink < 1:
            grey = np.asarray(cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
        self._grey = grey
        height, width = grey.shape
        self._corner = (width - self._size[0]) // 2, (height - self._size[1]) // 2
        name_seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        # Where in the stream of random numbers each view begins, as far as that is known: Gaussian noise takes as many
        # numbers as it takes.
        self._begins: list[Mapping[str, Any]] = [np.random.default_rng([options.seed, name_seed]).bit_generator.state]

    def first(self) -> Image:
        """The middle: uint8 (H, W)."""
        left, top = self._corner
        return np.ascontiguousarray(self._grey[top : top + self._size[1], left : left + self._size[0]])

    def view(self, index: int) -> View:
        """One of the other images, numbered from 0."""
        for earlier in range(len(self._begins) - 1, index):
            self._drawn(earlier)
        drawn = self._drawn(index)
        left, top = self._corner
        first_from_photograph = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
        warped = cv2.warpPerspective(
            self._grey,
            drawn.other_from_first @ first_from_photograph,
            self._size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        return View(_in_light(np.asarray(warped, np.uint8), drawn), drawn.other_from_first)

    def _drawn(self, index: int) -> _Drawn:
        """A view's random numbers; where the next one's begin is kept."""
        rng = np.random.default_rng()
        rng.bit_generator.state = self._begins[index]
        drawn = _draw(self._size, rng, self._options)
        if index + 1 == len(self._begins):
            self._begins.append(rng.bit_generator.state)
        return drawn


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """What chance decides of a view: its homography, contrast as a factor, and the rest in grey levels and pixels."""

    other_from_first: NDArray[np.float64]
    contrast: float
    brightness: float
    blur_px: float
    noise: NDArray[np.float64]


def _draw(size: tuple[int, int], rng: np.random.Generator, options: SyntheticOptions) -> _Drawn:
    """A view of (W, H) pixels. Another order of the draws would be other views."""
    other_from_first = random_homography(size, rng, options)
    contrast = 1 + rng.uniform(-options.contrast, options.contrast)
    brightness = rng.uniform(-options.brightness, options.brightness)
    blur_px = rng.uniform(0, options.blur_px)
    sigma = rng.uniform(0, options.noise)
    return _Drawn(other_from_first, contrast, brightness, blur_px, rng.normal(0, sigma, (size[1], size[0])))


def random_homography(
    size: tuple[int, int], rng: np.random.Generator, options: SyntheticOptions
) -> NDArray[np.float64]:
    """A homography (3, 3) between two views of (W, H) pixels: turned, scaled, each corner moved, all at random."""
    width, height = size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)
    centre = corners.mean(axis=0)
    angle = np.radians(rng.uniform(-options.turn_deg, options.turn_deg))
    scale = options.zoom ** rng.uniform(-1, 1)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (corners - centre) @ turn.T + centre
    moved += rng.uniform(-options.tilt_share, options.tilt_share, (4, 2)) * np.array(size)
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32)), np.float64)


def _in_light(image: Image, drawn: _Drawn) -> Image:
    values: NDArray[np.floating] = image.astype(np.float32)
    if drawn.blur_px > 0.1:  # a narrower kernel is a single pixel
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), drawn.blur_px), np.float32)
    values = (values - 127.5) * drawn.contrast + 127.5 + drawn.brightness + drawn.noise
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _view_size(name: str, grey: Image, options: SyntheticOptions) -> tuple[tuple[int, int], float]:
    """(W, H) of a view, and by how much the photograph is scaled down first (1: not at all)."""
    height, width = grey.shape
    share = options.view_share
    shrink = min(1.0, max(options.largest_view[0] / (share * width), options.largest_view[1] / (share * height)))
    size = (
        min(int(share * width * shrink), options.largest_view[0]),
        min(int(share * height * shrink), options.largest_view[1]),
    )
    if min(size) < SMALLEST_VIEW_PX:
        raise ImageError(
            f"{name}: {width}×{height} px is too small for synthetic pairs: its views would have {size[0]}×{size[1]} "
            f"px, expected {SMALLEST_VIEW_PX} or more a side"
        )
    return size, shrink
