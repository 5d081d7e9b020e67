"""Training images and their labels on disk: arrays that several processes map, made once, continued where left off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import TrainingError, UsageError
from oakpoint.files import writing
from oakpoint.training.labels import ImageLabels
from oakpoint.training.processes import Place

LABELLED, LOCATED = 1, 2
"""How far an image has come: its keypoints are known; and where they lie to a fraction of a pixel is, too."""

ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "images": (np.uint8, 3),
    "points": (np.float32, 3),
    "scores": (np.float32, 2),
    "descriptors": (np.float16, 3),
    "levels": (np.uint8, 2),
    "done": (np.uint8, 1),
}
"""Type and rank of each."""

Told = Callable[[int, int], None]
"""Hears how many images of how many are done."""

LAST_WRITTEN = "done"

_BLOCK = 64
"""Images that are copied at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images and labels, mapped from files.

    Attributes:
        images: uint8 (N, H, W), grey.
        points: float32 (N, K, 2), pixels of the image; rows past an image's last keypoint count for nothing.
        scores: float32 (N, K), in [0, 1]; 0 past the last keypoint.
        descriptors: float16 (N, K, D), unit L2.
        levels: uint8 (N, K), at which size of the image each is a keypoint; see ``ImageLabels``.
        done: uint8 (N,), how far each image has come: 0, ``LABELLED`` or ``LOCATED``.
    """

    images: NDArray[np.uint8]
    points: NDArray[np.float32]
    scores: NDArray[np.float32]
    descriptors: NDArray[np.float16]
    levels: NDArray[np.uint8]
    done: NDArray[np.uint8]

    @classmethod
    def create(
        cls, folder: Path, images: NDArray[np.uint8], *, max_points: int, descriptor_dim: int, to_come: int = 0
    ) -> None:
        """Write arrays for these images and for as many more, black ones, as are ``to_come``, with no labels yet.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        count = len(images) + to_come
        shapes = {"points": (max_points, 2), "scores": (max_points,), "descriptors": (max_points, descriptor_dim)}
        shapes |= {"levels": (max_points,), "done": ()}
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _save_images(folder / "images.npy", images, to_come)
            for name, shape in shapes.items():
                np.save(folder / f"{name}.npy", np.zeros((count, *shape), ARRAYS[name][0]))

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a folder holds a data set, labelled or not; the last file that ``create`` writes says so."""
        return (folder / f"{LAST_WRITTEN}.npy").is_file()

    @classmethod
    def open(cls, folder: Path, *, writable: bool = False) -> Dataset:
        """Map the arrays of a folder.

        Raises:
            TrainingError: a file is missing or damaged, or is of another data set than the others.
        """
        # To be read first: mapped to be written, a file that is too short would be filled up with zeros.
        arrays = {name: _mapped(folder / f"{name}.npy", *form) for name, form in ARRAYS.items()}
        count, rows = len(arrays["images"]), arrays["points"].shape[1]
        for name, expected in {
            "points": (count, rows, 2),
            "scores": (count, rows),
            "descriptors": (count, rows, arrays["descriptors"].shape[2]),
            "levels": (count, rows),
            "done": (count,),
        }.items():
            if arrays[name].shape != expected:
                raise _damaged(folder / f"{name}.npy", f"shape {expected}", str(arrays[name].shape))
        if writable:
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ARRAYS}
        return cls(**arrays)

    def put(self, index: int, labels: ImageLabels, image: NDArray[np.uint8] | None = None) -> None:
        """Keep the labels of an image, in place of earlier ones, and the image itself where it was still to come.

        Raises:
            UsageError: there are more than the arrays have rows.
        """
        count, rows = len(labels.points), self.points.shape[1]
        if count > rows:
            raise UsageError(f"labels of image {index}: expected {rows} keypoints or fewer, got {count}")
        if image is not None:
            self.images[index] = image
        self.points[index, :count] = labels.points
        self.scores[index, :count] = labels.scores
        self.scores[index, count:] = 0
        self.descriptors[index, :count] = labels.descriptors
        self.levels[index, :count] = labels.levels
        self.done[index] = LABELLED

    def left(self, stage: int, place: Place, told: Told) -> Iterator[int]:
        """Indices of this process's images that have not come to a stage, until no process has any.

        Args:
            stage: ``LABELLED`` or ``LOCATED``.
            place: this process among the others.
            told: hears, on the first process, how many images of all have come to it.
        """
        count = len(self.done)
        begun = bool((self.done < stage).any())
        for index in range(place.rank, count, place.world):
            if self.done[index] < stage:
                yield index
                reached = int((self.done >= stage).sum())
                if place.first and reached < count:
                    told(reached, count)
        place.wait()
        if place.first and begun:
            told(count, count)

    def move(self, index: int, points: NDArray[np.float32]) -> None:
        """Put the keypoints of an image, all of its rows, where they were located."""
        self.points[index] = points
        self.done[index] = LOCATED


def _save_images(path: Path, images: NDArray[np.uint8], to_come: int) -> None:
    """Write an array file of the images and of black ones, a block at a time: they may be more than memory holds."""
    count, (height, width) = len(images), images.shape[1:]
    header = {"descr": "|u1", "fortran_order": False, "shape": (count + to_come, height, width)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for begin in range(0, count, _BLOCK):
            stream.write(np.ascontiguousarray(images[begin : begin + _BLOCK]).data)
        black = np.zeros((height, width), np.uint8)
        for _ in range(to_come):
            stream.write(black.data)


def _mapped(path: Path, dtype: type[np.generic], rank: int) -> NDArray[Any]:
    """An array file, mapped to be read; as long as its header says."""
    expected = f"{np.dtype(dtype)} of rank {rank}"
    try:
        array = np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise _damaged(path, expected, " ".join(str(error).split())) from error
    if not isinstance(array, np.memmap):  # an archive of arrays, say
        raise _damaged(path, expected, type(array).__name__)
    if array.dtype != dtype or array.ndim != rank:
        raise _damaged(path, expected, f"{array.dtype} of rank {array.ndim}")
    size, whole = path.stat().st_size, array.offset + array.nbytes
    if size != whole:
        raise _damaged(path, f"{whole} bytes", str(size))
    return array


def _damaged(path: Path, expected: str, got: str) -> TrainingError:
    return TrainingError(f"{path}: damaged: expected {expected}, got {got}; choose another --out")
