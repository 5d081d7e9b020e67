"""A data set made from photographs, synthetic images and a teacher, by all processes together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.networks.student import PROBE_SIZE
from oakpoint.training.dataset import Dataset
from oakpoint.training.images import gather_images, grey_tensor
from oakpoint.training.labels import ImageLabels, LabelOptions, descriptors_at, label_image
from oakpoint.training.processes import Place
from oakpoint.training.synthetic.images import synthetic_image, true_labels
from oakpoint.training.teachers.protocol import Teacher

SYNTHETIC_SIZE = (640, 480)
Told = Callable[[int, int], None]
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


def gather(options: DatasetOptions) -> Images:
    """All images, uint8 (N, H, W): the photographs, then the synthetic ones.

    Raises:
        UsageError: fewer than two.
        ImageError: a place that cannot be read.
    """
    parts = [gather_images(options.images, options.size)] if options.images else []
    if options.synthetic:
        size = (parts[0].shape[2], parts[0].shape[1]) if parts else options.size or SYNTHETIC_SIZE
        parts.append(np.stack([_synthetic(size, options.seed, number)[0] for number in range(options.synthetic)]))
    images = np.concatenate(parts) if parts else np.empty((0, 0, 0), np.uint8)
    if len(images) < 2:
        raise UsageError(f"images: expected at least 2, to train on and to validate on, got {len(images)}")
    return images


def create_dataset(
    folder: Path, images: Images, options: DatasetOptions, teacher: Teacher | None, place: Place
) -> None:
    """Write the arrays of a data set of these images, with no labels yet.

    Raises:
        UsageError: photographs without a teacher.
    """
    if options.images and teacher is None:
        raise UsageError("images: expected a teacher to label them, got none")
    dimension = 0 if teacher is None else descriptor_dim(teacher, place.device)
    Dataset.create(folder, images, max_points=options.labels.rows, descriptor_dim=dimension)


def label_dataset(folder: Path, options: DatasetOptions, teacher: Teacher | None, place: Place, told: Told) -> Dataset:
    """Label what is not labelled yet, all processes together.

    Synthetic images keep their true corners; with a teacher, only the descriptors are its own. Without one there are no
    descriptors.

    Args:
        folder: of the data set.
        options: what it is made of.
        teacher: on the place's device.
        place: this process among the others.
        told: hears, on the first process, how many images of all are labelled.
    """
    dataset = Dataset.open(folder, writable=True)
    photographs = len(dataset.images) - options.synthetic
    mine = range(place.rank, len(dataset.images), place.world)
    for index in mine:
        if dataset.done[index]:
            continue
        labels = (
            _photograph_labels(teacher, dataset, index, options, place.device)
            if index < photographs
            else _synthetic_labels(teacher, dataset, index, options, place.device)
        )
        dataset.put(index, labels)
        if place.first:
            told(int(np.count_nonzero(dataset.done)), len(dataset.done))
    place.wait()
    return Dataset.open(folder)


def _synthetic(size: tuple[int, int], seed: int, number: int) -> tuple[Images, NDArray[np.float32]]:
    return synthetic_image(size, np.random.default_rng([seed, number]))


@torch.inference_mode()
def descriptor_dim(teacher: Teacher, device: torch.device) -> int:
    """Width of a teacher's descriptors, found by asking it about a small image."""
    width, height = (-(-side // teacher.multiple) * teacher.multiple for side in PROBE_SIZE)
    return teacher(torch.zeros(1, 1, height, width, device=device)).descriptors.shape[1]


def _photograph_labels(
    teacher: Teacher | None, dataset: Dataset, index: int, options: DatasetOptions, device: torch.device
) -> ImageLabels:
    assert teacher is not None
    generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + index)
    return label_image(teacher, dataset.images[index], options.labels, generator)


@torch.inference_mode()
def _synthetic_labels(
    teacher: Teacher | None, dataset: Dataset, index: int, options: DatasetOptions, device: torch.device
) -> ImageLabels:
    """True corners; the teacher's descriptors at them."""
    number = index - (len(dataset.images) - options.synthetic)
    size = (dataset.images.shape[2], dataset.images.shape[1])
    points = _synthetic(size, options.seed, number)[1][: options.labels.rows]
    labels = true_labels(points, descriptor_dim=dataset.descriptors.shape[2])
    if teacher is None or not len(points):
        return labels
    outputs = teacher(grey_tensor(dataset.images[index], device))
    return replace(labels, descriptors=descriptors_at(outputs, torch.from_numpy(points).to(device)))
