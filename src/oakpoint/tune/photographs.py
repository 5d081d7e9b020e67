"""The user's images: which of them are taken, and pairs of views made of them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate.pairs import Dataset, Sequence, Skipped
from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_sequence
from oakpoint.files import sha256_of_file, shown_name
from oakpoint.images.reading import find_images, no_image_in, read_image

MOST_IMAGES: Final = 40
TIMED_IMAGES: Final = 4
"""Images that times are measured on."""


@dataclass(frozen=True, slots=True)
class Photographs:
    """Images of a folder, which are read when their turn comes.

    Attributes:
        folder: where they lie.
        sizes: (W, H) in pixels by name.
        hashes: SHA-256 of their files by name.
        found: how many images the folder holds.
        unreadable: names of those that cannot be read, and why.
    """

    folder: Path
    sizes: Mapping[str, tuple[int, int]]
    hashes: Mapping[str, str]
    found: int
    unreadable: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def ratio(self) -> float:
        """Width over height, the median of all images."""
        return float(median(width / height for width, height in self.sizes.values()))

    @property
    def longer_side_px(self) -> int:
        """Of an image, the median of all."""
        return int(median(max(size) for size in self.sizes.values()))

    def digest(self) -> str:
        """Of all names and files, the first 16 digits of a SHA-256."""
        text = "\n".join(f"{name} {sha256}" for name, sha256 in self.hashes.items())
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def each(self) -> Iterator[NDArray[np.uint8]]:
        """The images, uint8 (H, W) or (H, W, 3) BGR, in order.

        Raises:
            ImageError: one cannot be read any more.
        """
        return (read_image(self.folder / name) for name in self.sizes)

    def to_time(self) -> list[NDArray[np.uint8]]:
        """The images that times are measured on."""
        return list(itertools.islice(self.each(), TIMED_IMAGES))


def photographs_in(folder: Path, *, most: int = MOST_IMAGES) -> Photographs:
    """Images of a folder and its subfolders, at most so many, evenly chosen in the order of their names.

    Raises:
        UsageError: fewer than one are to be taken.
        ImageError: no such folder, or no readable image in it.
    """
    if most < 1:
        raise UsageError(f"max-images: expected 1 or more, got {most}")
    found = find_images(folder, recursive=True)
    names = list(found.names)
    if not names:
        raise ImageError(no_image_in(folder, recursive=True))
    places = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    sizes, hashes, unreadable = {}, {}, dict(found.unreadable)
    for name in (names[place] for place in places):
        try:
            height, width = read_image(folder / name).shape[:2]
        except ImageError as error:
            unreadable[name] = str(error)
            continue
        sizes[name], hashes[name] = (width, height), sha256_of_file(folder / name)
    if not sizes:
        raise ImageError(next(iter(unreadable.values())))
    return Photographs(folder, sizes, hashes, len(names), unreadable)


def pairs_of(photographs: Photographs, *, views: int, seed: int) -> Dataset:
    """Pairs of views with known homographies, as ``oakpoint eval --photographs`` makes them.

    Raises:
        UsageError: see ``SyntheticOptions``.
        ImageError: every image is too small.
    """
    options = SyntheticOptions(views=views, seed=seed)
    sequences: list[Sequence] = []
    skipped: list[Skipped] = []
    for name, image in zip(map(shown_name, photographs.sizes), photographs.each(), strict=True):
        try:
            sequences.append(synthetic_sequence(name, image, options))
        except ImageError as error:  # noqa: PERF203 - it is too small
            skipped.append(Skipped(name, str(error)))
    if not sequences:
        raise ImageError(f"{photographs.folder}: no usable photograph: {skipped[0].reason}")
    where = shown_name(str(photographs.folder))
    name = f"synthetic homographies over {len(sequences)} images of {where}, seed {seed}"
    return Dataset(name, tuple(sequences), tuple(skipped))
