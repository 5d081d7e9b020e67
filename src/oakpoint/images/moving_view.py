"""A view that moves over a photograph, with the homography of every frame: footage whose true motion is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import ImageError


@dataclass(frozen=True, slots=True, eq=False)
class KnownFrame:
    """A frame and where it looks.

    Attributes:
        image: uint8 (H, W) or (H, W, 3) BGR.
        frame_from_photograph: homography (3, 3) from pixels of the photograph to pixels of the frame.
    """

    image: NDArray[np.uint8]
    frame_from_photograph: NDArray[np.float64]


def moving_view(photograph: NDArray[np.uint8], *, size: tuple[int, int], frames: int) -> Iterator[KnownFrame]:
    """Let a camera go once round over a photograph, turning, nearing and tilting a little as it goes.

    The last frame joins the first, so that the frames can be shown as a loop.

    Args:
        photograph: uint8 (H, W) or (H, W, 3) BGR, at least as large as the view.
        size: (W, H) of the view in pixels.
        frames: how many.

    Raises:
        ImageError: the photograph is smaller than the view.
    """
    height, width = photograph.shape[:2]
    if width < size[0] or height < size[1]:
        raise ImageError(f"moving view: expected a photograph of at least {size[0]}×{size[1]} px, got {width}×{height}")
    for index in range(frames):
        turn = 2 * np.pi * index / frames
        homography = _frame_from_photograph((width, height), size, turn)
        image = cv2.warpPerspective(
            photograph, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        yield KnownFrame(np.asarray(image, np.uint8), homography)


def _frame_from_photograph(photograph_size: tuple[int, int], size: tuple[int, int], turn: float) -> NDArray[np.float64]:
    """Centre the view at a point of an ellipse, rotate by up to 8°, scale by 1 ± 0.12, tilt by up to 3e-4 per pixel."""
    room = (np.array(photograph_size) - np.array(size)) / 2
    centre = (np.array(photograph_size) - 1) / 2 + 0.6 * room * [np.cos(turn), np.sin(turn)]
    angle, scale, tilt = np.radians(8) * np.sin(turn), 1 + 0.12 * np.sin(turn), 3e-4 * np.sin(2 * turn)
    origin_from_photograph = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1]])
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    turned_from_origin = np.array([[cosine, -sine, 0], [sine, cosine, 0], [tilt, 0, 1]])
    frame_from_turned = np.array([[1, 0, (size[0] - 1) / 2], [0, 1, (size[1] - 1) / 2], [0, 0, 1]])
    return np.asarray(frame_from_turned @ turned_from_origin @ origin_from_photograph)
