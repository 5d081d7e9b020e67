"""The factor with which a network's descriptors can be normalised on the device, from norms measured on images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.registry import INPUT, ModelSource, RuntimeOptions, open_backend
from oakpoint.convert.descriptor_norm import scale_for_norms
from oakpoint.extractor import dense_outputs
from oakpoint.images.preprocess import Preprocess


def measured_descriptor_scale(
    onnx: Path, images: Mapping[str, NDArray[np.uint8]], preprocess: Preprocess
) -> tuple[float, float]:
    """Run the host's model on images, and on extreme pictures of its size, and scale by the largest norm found.

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
    options = RuntimeOptions(backend="onnxruntime")
    largest = 0.0
    with open_backend(ModelSource(onnx=onnx), options, size=preprocess.size) as backend:
        for tensor in _tensors([*images.values(), *_extremes(preprocess.size)], preprocess):
            descriptors = dense_outputs(backend.run({INPUT: tensor})).descriptors
            largest = max(largest, float(np.linalg.norm(descriptors, axis=0).max()))
    return scale_for_norms(largest), largest


def _tensors(images: Iterable[NDArray[np.uint8]], preprocess: Preprocess) -> Iterator[NDArray[Any]]:
    for image in images:
        yield preprocess.apply(image)[0]


def _extremes(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """White, noise of full contrast, and a chequerboard of single cells: what drives a network's values up."""
    shape = size[1], size[0]
    rows, columns = np.indices(shape)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    board = (255 * ((rows // 8 + columns // 8) % 2)).astype(np.uint8)
    return [np.full(shape, 255, np.uint8), noise, board]
