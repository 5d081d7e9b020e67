"""Pairs without a dataset: random homographies and photometric noise over photographs, from a seed.

The first image of a sequence is the middle of a photograph; the others look at it from elsewhere: four corners placed
at random, then contrast, brightness, blur and noise. Where a view leaves the photograph, the photograph is mirrored;
there is no black border that a detector could find.

The views are interpolated once (``cv2.INTER_LINEAR``), so they are a little softer than the first image. Such pairs
are easier than real ones and know no real change of light: use them to compare, not to quote.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, MissingExtraError, UsageError
from oakpoint.evaluate.pairs import Dataset, Image, Sequence, SequenceImage, Skipped
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

    Raises:
        ImageError: no such folder, or no usable image in it.
        MissingExtraError: no folder was given and neither scikit-image nor scikit-learn is installed.
    """
    sequences, skipped = [], []
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
    for name, path in paths.items():
        outcome = _sequence_or_reason(name, path, options)
        if isinstance(outcome, Sequence):
            sequences.append(outcome)
        else:
            skipped.append(outcome)
    if not sequences:
        raise ImageError(f"{folder}: no usable photograph: {skipped[0].reason}")
    where = shown_name(str(folder)) if folder else "photographs in scikit-image's and scikit-learn's wheels"
    return Dataset(f"synthetic homographies over {where}, seed {options.seed}", tuple(sequences), tuple(skipped))


def _sequence_or_reason(name: str, path: Path, options: SyntheticOptions) -> Sequence | Skipped:
    try:
        return synthetic_sequence(name, read_image(path), options)
    except ImageError as error:
        return Skipped(name, str(error))


def synthetic_sequence(name: str, photograph: Image, options: SyntheticOptions) -> Sequence:
    """Views of one photograph; the same name, photograph and options give the same views.

    Raises:
        ImageError: a photograph too small for a view of 64×64 px.
    """
    grey = grey_from_image(photograph)
    size, shrink = _view_size(name, grey, options)
    if shrink < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    height, width = grey.shape
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    first_from_photograph = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    first = np.ascontiguousarray(grey[top : top + size[1], left : left + size[0]])
    name_seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rng = np.random.default_rng([options.seed, name_seed])
    others, homographies = [], []
    for index in range(options.views):
        other_from_first = random_homography(size, rng, options)
        warped = cv2.warpPerspective(
            grey,
            other_from_first @ first_from_photograph,
            size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        others.append(_fixed(f"{name}/{index + 2}.png", _with_noise(np.asarray(warped, np.uint8), rng, options)))
        homographies.append(other_from_first)
    return Sequence(name, _fixed(f"{name}/1.png", first), tuple(others), tuple(homographies))


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


def _with_noise(image: Image, rng: np.random.Generator, options: SyntheticOptions) -> Image:
    contrast = 1 + rng.uniform(-options.contrast, options.contrast)
    brightness = rng.uniform(-options.brightness, options.brightness)
    blur_px = rng.uniform(0, options.blur_px)
    noise = rng.uniform(0, options.noise)
    values: NDArray[np.floating] = image.astype(np.float32)
    if blur_px > 0.1:  # a narrower kernel is a single pixel
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), blur_px), np.float32)
    values = (values - 127.5) * contrast + 127.5 + brightness + rng.normal(0, noise, image.shape)
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


def _fixed(name: str, image: Image) -> SequenceImage:
    def read() -> Image:
        return image

    return SequenceImage(name, read)
