"""A network's descriptors, measured on images: how large they are, and how many of their values they use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import image_interface
from oakpoint.errors import ConversionError
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.keypoints.heads.base import DESC, Images
from oakpoint.tasks.keypoints.heads.dense import Dense
from oakpoint.tasks.keypoints.heads.descriptor_basis import descriptor_basis, values_for_cosine
from oakpoint.tasks.keypoints.heads.descriptor_norm import scale_for_norms
from oakpoint.verify.photographs import second_view

SMALLEST_COSINE = 0.99995
"""Allowed between a descriptor and what is left of it: half of what the blob's verification allows in all."""


def measured_descriptor_scale(onnx: Path, images: Images, preprocess: Preprocess) -> tuple[float, float]:
    """The factor with which descriptors can be normalised on the device.

    The network runs on the images and on extreme pictures of its size.

    Args:
        onnx: the host's model.
        images: real images by name.
        preprocess: how they become the model's input.

    Returns:
        The factor, a power of two, and the largest norm that was measured.

    Raises:
        BackendError: the model cannot be run.
        ConversionError: it gives no descriptors.
    """
    pictures = [*images.values(), *_extremes(preprocess.size)]
    largest = max(
        float(np.linalg.norm(descriptors, axis=0).max()) for descriptors in _descriptors(onnx, pictures, preprocess)
    )
    return scale_for_norms(largest), largest


def measured_descriptor_values(onnx: Path, images: Images, preprocess: Preprocess) -> tuple[int, int]:
    """How many values of a descriptor are enough, by the cosines of all cells of the images and of a view of each.

    Args:
        onnx: the host's model.
        images: real images by name.
        preprocess: how they become the model's input.

    Returns:
        How many are enough, fewer than there are; and how many there are.

    Raises:
        BackendError: the model cannot be run.
        ConversionError: it needs all of them, or its descriptors do not come out of a convolution.
    """
    basis = descriptor_basis(onnx, DESC)
    pictures = [view for image in images.values() for view in (image, second_view(image))]
    found = [d.reshape(len(d), -1) for d in _descriptors(onnx, pictures, preprocess)]
    values = values_for_cosine(basis.T @ np.hstack(found).astype(np.float64), SMALLEST_COSINE)
    if values >= len(basis):
        raise ConversionError(
            f"heads reduced: the network's descriptors use all of their {len(basis)} values: fewer would leave cosines "
            f"under {SMALLEST_COSINE}; take --heads heatmap, or packed for fewer bytes"
        )
    return values, len(basis)


def _descriptors(
    onnx: Path, pictures: list[NDArray[np.uint8]], preprocess: Preprocess
) -> Iterator[NDArray[np.float32]]:
    """Coarse descriptors (D, Hc, Wc) of each picture."""
    options = RuntimeOptions(backend="onnxruntime")
    inputs = image_interface("input", preprocess).at(preprocess.size).tensors
    with open_backend(ModelSource(onnx=onnx), options, inputs) as backend:
        name = backend.inputs[0].name
        for picture in pictures:
            yield Dense().read(backend.run({name: preprocess.apply(picture)[0]})).descriptors


def _extremes(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """White, noise of full contrast, and a chequerboard of single cells: what drives a network's values up."""
    shape = size[1], size[0]
    rows, columns = np.indices(shape)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    board = (255 * ((rows // 8 + columns // 8) % 2)).astype(np.uint8)
    return [np.full(shape, 255, np.uint8), noise, board]
