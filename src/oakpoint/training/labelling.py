"""A data set made from photographs, synthetic images and a teacher, by all processes together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from oakpoint.errors import TrainingError, UsageError
from oakpoint.training.dataset import LABELLED, Dataset, Told
from oakpoint.training.images import gather_images, grey_tensor
from oakpoint.training.labels import ImageLabels, LabelOptions, descriptors_at, label_image
from oakpoint.training.processes import Place
from oakpoint.training.synthetic.images import synthetic_image, true_labels
from oakpoint.training.teachers.protocol import Teacher

SYNTHETIC_SIZE = (640, 480)
Images = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOptions:
    """What a data set is made of.

    Attributes:
        images: folders, images and videos.
        size: (W, H) in pixels to which all are brought; None: the first photograph's, or less; 640×480 without one.
        synthetic: how many synthetic images, whose corners are known, stand beside the photographs.
        labels: how the teacher labels.
        seed: of synthetic images and of the teacher's warps.
    """

    images: tuple[Path, ...]
    size: tuple[int, int] | None = None
    synthetic: int = 0
    labels: LabelOptions
    seed: int = 0


def gather(options: DatasetOptions, told: Callable[[int], None], *, spool: Path | None = None) -> Images:
    """All photographs, uint8 (N, H, W); with none, (0, H, W) of the size that synthetic images will have.

    Args:
        options: what they are.
        told: hears after each image how many there are.
        spool: see ``gather_images``.

    Raises:
        UsageError: fewer than two images, synthetic ones included.
        ImageError: a place that cannot be read.
    """
    width, height = options.size or SYNTHETIC_SIZE
    images = np.empty((0, height, width), np.uint8)
    if options.images:
        images = gather_images(options.images, options.size, told, spool=spool)
    count = len(images) + options.synthetic
    if count < 2:
        raise UsageError(
            f"images: expected at least 2, to train on and to validate on, got {count}; give more with "
            "--images or --synthetic"
        )
    return images


def create_dataset(folder: Path, photographs: Images, options: DatasetOptions, *, descriptor_dim: int) -> None:
    """Write the arrays of a data set of these photographs and of the synthetic images, which are still to be drawn.

    Raises:
        OutputError: the folder cannot be written.
    """
    Dataset.create(
        folder,
        photographs,
        max_points=options.labels.rows,
        descriptor_dim=descriptor_dim,
        to_come=options.synthetic,
    )


def label_dataset(folder: Path, options: DatasetOptions, teacher: Teacher | None, place: Place, told: Told) -> Dataset:
    """Label what is not labelled yet, all processes together; synthetic images are drawn on the way.

    Synthetic images keep their true corners; with a teacher, only the descriptors are its own. Without one there are no
    descriptors.

    Args:
        folder: of the data set.
        options: what it is made of.
        teacher: on the place's device.
        place: this process among the others.
        told: hears, on the first process, how many images of all are labelled.

    Raises:
        TrainingError: the data set is damaged, or the teacher found no keypoint in any photograph.
    """
    dataset = Dataset.open(folder, writable=True)
    photographs = len(dataset.images) - options.synthetic
    for index in dataset.left(LABELLED, place, told):
        if index < photographs:
            dataset.put(index, _photograph_labels(teacher, dataset, index, options, place.device))
        else:
            labels, image = _drawn(teacher, dataset, index, options, place.device)
            dataset.put(index, labels, image)
    if teacher is not None and photographs and not dataset.scores[:photographs].any():
        raise TrainingError(
            f"teacher {teacher.name}: expected keypoints in the images, got none in all {photographs}; give others, or "
            "another teacher"
        )
    return Dataset.open(folder)


def _photograph_labels(
    teacher: Teacher | None, dataset: Dataset, index: int, options: DatasetOptions, device: torch.device
) -> ImageLabels:
    assert teacher is not None
    generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + index)
    return label_image(teacher, dataset.images[index], options.labels, generator)


@torch.inference_mode()
def _drawn(
    teacher: Teacher | None, dataset: Dataset, index: int, options: DatasetOptions, device: torch.device
) -> tuple[ImageLabels, Images]:
    """A synthetic image with its true corners; the teacher's descriptors at them."""
    number = index - (len(dataset.images) - options.synthetic)
    size = (dataset.images.shape[2], dataset.images.shape[1])
    image, points = synthetic_image(size, np.random.default_rng([options.seed, number]))
    points = points[: options.labels.rows]
    labels = true_labels(points, descriptor_dim=dataset.descriptors.shape[2])
    if teacher is None or not len(points):
        return labels, image
    outputs = teacher(grey_tensor(image, device))
    return replace(labels, descriptors=descriptors_at(outputs, torch.from_numpy(points).to(device))), image
