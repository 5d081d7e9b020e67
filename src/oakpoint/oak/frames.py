"""Between depthai's ``ImgFrame`` and images, and between its transformations and our pixel maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.convert.archive_from_blob import IMAGE_TYPES
from oakpoint.errors import BackendError
from oakpoint.geometry import PixelMap, corner_matrix_from_map, map_from_corner_matrix
from oakpoint.images.preprocess import Colour
from oakpoint.oak.runtime import import_depthai

IDENTITY = PixelMap((1.0, 1.0), (0.0, 0.0))


def image_from_frame(frame: Any) -> NDArray[np.uint8]:
    """The picture of an ``ImgFrame``: uint8 (H, W) when it is grey, else (H, W, 3) BGR; the caller's own copy."""
    grey = frame.getType().name == "GRAY8"
    return np.array(frame.getFrame() if grey else frame.getCvFrame(), np.uint8, order="C")


def frame_from_image(image: NDArray[np.uint8]) -> Any:
    """An ``ImgFrame`` of an image, uint8 (H, W) or (H, W, 3) BGR, that is its own source."""
    depthai = import_depthai()
    frame = depthai.ImgFrame()
    kind = depthai.ImgFrame.Type.GRAY8 if image.ndim == 2 else depthai.ImgFrame.Type.BGR888i
    frame.setCvFrame(np.ascontiguousarray(image), kind)
    frame.setTransformation(depthai.ImgTransformation(image.shape[1], image.shape[0]))
    return frame


def frame_of_network(levels: NDArray[np.uint8], colour: Colour) -> Any:
    """An ``ImgFrame`` of a network's input, of the type that its archive asks for, that is its own source.

    Args:
        levels: uint8 (1, C, H, W), as ``Preprocess`` makes it.
        colour: of its channels.
    """
    depthai = import_depthai()
    planes = levels[0] if colour != "rgb" else levels[0, ::-1]
    frame = depthai.ImgFrame()
    image = np.ascontiguousarray(planes[0] if colour == "grey" else planes.transpose(1, 2, 0))
    frame.setCvFrame(image, getattr(depthai.ImgFrame.Type, IMAGE_TYPES[colour]))
    frame.setTransformation(depthai.ImgTransformation(levels.shape[3], levels.shape[2]))
    return frame


def transformed(transformation: Any, target_from_present: PixelMap, size: tuple[int, int]) -> Any:
    """A transformation with one more step: to a frame of (W, H) pixels by ``target_from_present``."""
    depthai = import_depthai()
    source = transformation.getSourceSize()
    further = depthai.ImgTransformation(*source)
    matrix = corner_matrix_from_map(target_from_present) @ np.array(transformation.getMatrix())
    further.addTransformation(matrix.tolist())
    further.setSize(*size)
    return further


def shown_from_network(shown: Any, network: Any) -> PixelMap:
    """The map from pixels of the network's input to pixels of another frame of the same sensor.

    Both go back to the sensor's frame by what depthai recorded of scaling, cropping and padding, so that it holds for
    every resize mode and for two outputs of different aspect ratio.

    Args:
        shown: ``ImgTransformation`` of the frame that is shown.
        network: ``ImgTransformation`` of the network's input, from the ``ImgFrame`` or from ``NNData``.

    Raises:
        BackendError: one of them is missing or invalid, or they are of two sensors.
    """
    for name, transformation in (("shown frame", shown), ("network's result", network)):
        if transformation is None or not transformation.isValid():
            raise BackendError(
                f"camera: the {name} says nothing of how it was scaled, so that keypoints have no place in it"
            )
    sources = shown.getSourceSize(), network.getSourceSize()
    if sources[0] != sources[1]:
        raise BackendError(f"camera: expected two frames of one sensor, got sizes {sources[0]} and {sources[1]}")
    shown_matrix, network_matrix = np.array(shown.getMatrix()), np.array(network.getMatrix())
    if shown.getSize() == network.getSize() and np.array_equal(shown_matrix, network_matrix):
        return IDENTITY
    return map_from_corner_matrix(shown_matrix @ np.linalg.inv(network_matrix))
