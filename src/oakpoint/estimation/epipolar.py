"""Epipolar geometry: errors of matches under a fundamental matrix, and the pose in an essential one.

Convention: ``second_h.T @ F @ first_h = 0`` for points (x, y, 1) in pixels of their images, the origin at the centre of
the top-left pixel; ``F = inv(K_second).T @ E @ inv(K_first)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.estimation.options import Camera
from oakpoint.geometry import Points

FARTHEST_BASELINES = 50.0
"""A point farther away than so many times the distance of the cameras is not counted as in front of them: its depth is
hardly measured. Source: ``recoverPose`` of OpenCV, whose default it is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose:
    """How the second camera stands to the first: ``x_second = R @ x_first + t``.

    Attributes:
        rotation: R, float64 (3, 3).
        direction: t, float64 (3,), of length 1: two images do not tell how far apart they were taken.
        in_front: how many inliers lie in front of both cameras, and nearer than ``FARTHEST_BASELINES``.
    """

    rotation: NDArray[np.float64]
    direction: NDArray[np.float64]
    in_front: int

    @property
    def angle_deg(self) -> float:
        """By how much the camera turned, 0 to 180 degrees."""
        return float(np.degrees(np.linalg.norm(cv2.Rodrigues(self.rotation)[0])))

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {
            "rotation": self.rotation.tolist(),
            "direction": self.direction.tolist(),
            "angle_deg": self.angle_deg,
            "in_front": self.in_front,
        }


def sampson_errors(first: Points, second: Points, fundamental: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far matches (M, 2) are from an epipolar geometry, in pixels: float64 (M,), infinite where it is undefined.

    To first order the least distance by which both points together must move to fulfil it.

    Source: Hartley and Zisserman 2004, equation 11.9, its square root.
    """
    a, b = _homogeneous(first), _homogeneous(second)
    in_second, in_first = a @ fundamental.T, b @ fundamental
    product = (b * in_second).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.sqrt((in_second[:, :2] ** 2).sum(axis=1) + (in_first[:, :2] ** 2).sum(axis=1))
        return np.asarray(np.nan_to_num(np.abs(product) / length, nan=np.inf, posinf=np.inf), np.float64)


def fundamental_from_essential(essential: NDArray[np.float64], cameras: tuple[Camera, Camera]) -> NDArray[np.float64]:
    """F (3, 3) in pixels of E (3, 3), for the cameras of the first and the second image."""
    first, second = (np.linalg.inv(camera.matrix) for camera in cameras)
    return np.asarray(second.T @ essential @ first, np.float64)


def pose_from_essential(
    essential: NDArray[np.float64], first: Points, second: Points, cameras: tuple[Camera, Camera]
) -> Pose:
    """The one of four poses in an essential matrix that has most of the points (M, 2) in front of both cameras.

    Source: ``recoverPose`` of OpenCV; Nistér 2004, section 3.3.
    """
    seen_first, seen_second = (
        np.ascontiguousarray((_homogeneous(points) @ np.linalg.inv(camera.matrix).T)[:, :2])
        for points, camera in zip((first, second), cameras, strict=True)
    )
    in_front, rotation, direction, *_ = cv2.recoverPose(
        essential, seen_first, seen_second, np.eye(3), FARTHEST_BASELINES
    )
    return Pose(
        rotation=np.asarray(rotation, np.float64),
        direction=np.asarray(direction, np.float64).ravel(),
        in_front=int(in_front),
    )


def _homogeneous(points: Points) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(points, np.float64), np.ones((len(points), 1))], axis=1)
