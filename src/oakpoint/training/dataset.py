"""Training images and their labels on disk: arrays that several processes map, made once, continued where left off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import TrainingError, UsageError
from oakpoint.training.labels import ImageLabels

LABELLED, LOCATED = 1, 2
"""How far an image has come: its keypoints are known; and where they lie to a fraction of a pixel is, too."""

ARRAYS = ("images", "points", "scores", "descriptors", "levels", "done")


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
    def create(cls, folder: Path, images: NDArray[np.uint8], *, max_points: int, descriptor_dim: int) -> None:
        """Write arrays for these images, with no labels yet."""
        folder.mkdir(parents=True, exist_ok=True)
        count = len(images)
        np.save(folder / "images.npy", images)
        np.save(folder / "points.npy", np.zeros((count, max_points, 2), np.float32))
        np.save(folder / "scores.npy", np.zeros((count, max_points), np.float32))
        np.save(folder / "descriptors.npy", np.zeros((count, max_points, descriptor_dim), np.float16))
        np.save(folder / "levels.npy", np.zeros((count, max_points), np.uint8))
        np.save(folder / "done.npy", np.zeros(count, np.uint8))

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether a folder holds a data set, labelled or not; the last file that ``create`` writes says so."""
        return (folder / f"{ARRAYS[-1]}.npy").is_file()

    @classmethod
    def open(cls, folder: Path, *, writable: bool = False) -> Dataset:
        """Map the arrays of a folder.

        Raises:
            TrainingError: a file is missing or damaged.
        """
        mode: Literal["r+", "r"] = "r+" if writable else "r"
        try:
            return cls(*(np.load(folder / f"{name}.npy", mmap_mode=mode) for name in ARRAYS))
        except (ValueError, OSError, EOFError) as error:
            raise TrainingError(f"{folder}: not a whole data set ({error}); choose another --out") from error

    def put(self, index: int, labels: ImageLabels) -> None:
        """Keep the labels of an image, in place of earlier ones.

        Raises:
            UsageError: there are more than the arrays have rows.
        """
        count, rows = len(labels.points), self.points.shape[1]
        if count > rows:
            raise UsageError(f"labels of image {index}: expected {rows} keypoints or fewer, got {count}")
        self.points[index, :count] = labels.points
        self.scores[index, :count] = labels.scores
        self.scores[index, count:] = 0
        self.descriptors[index, :count] = labels.descriptors
        self.levels[index, :count] = labels.levels
        self.done[index] = LABELLED

    def move(self, index: int, points: NDArray[np.float32]) -> None:
        """Put the keypoints of an image, all of its rows, where they were located."""
        self.points[index] = points
        self.done[index] = LOCATED
