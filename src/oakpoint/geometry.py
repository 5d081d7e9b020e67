"""Pixel frames, the maps between them, and homographies (pure NumPy).

One frame is used for every image: **x to the right, y down, the origin at the centre of the top-left pixel**, so that
integer coordinates are pixel centres and an image of width W spans −0.5 … W − 0.5. A pixel frame changes only in a
function of this module.

Maps are named ``target_from_source``. Scaling an image of width W to width W' moves the point x to
(x + 0.5) · W' / W − 0.5: edges go to edges, which is what ``cv2.resize`` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError

Points = NDArray[np.float32] | NDArray[np.float64]
"""Array (N, 2) of (x, y) in pixels."""


@dataclass(frozen=True, slots=True)
class PixelMap:
    """An axis-aligned map between two pixel frames: ``target = scale · source + offset`` along (x, y), in pixels."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    def __call__(self, points: Points) -> NDArray[np.float32]:
        """Map points (N, 2) of the source frame to the target frame; float32 (N, 2)."""
        mapped = np.asarray(points, np.float64) * np.array(self.scale) + np.array(self.offset)
        return np.asarray(mapped, np.float32)

    def inverse(self) -> PixelMap:
        """The map from target to source."""
        (sx, sy), (ox, oy) = self.scale, self.offset
        return PixelMap((1 / sx, 1 / sy), (-ox / sx, -oy / sy))

    def __matmul__(self, other: PixelMap) -> PixelMap:
        """``c_from_b @ b_from_a`` is ``c_from_a``."""
        (sx, sy), (ox, oy) = self.scale, self.offset
        return PixelMap(
            (sx * other.scale[0], sy * other.scale[1]),
            (sx * other.offset[0] + ox, sy * other.offset[1] + oy),
        )


def resized_from_original(original_size: tuple[int, int], resized_size: tuple[int, int]) -> PixelMap:
    """The map that ``cv2.resize`` makes from an image of (W, H) pixels to one of another (W, H)."""
    (w0, h0), (w1, h1) = original_size, resized_size
    sx, sy = w1 / w0, h1 / h0
    return PixelMap((sx, sy), (0.5 * sx - 0.5, 0.5 * sy - 0.5))


def cropped_from_full(left_px: int, top_px: int) -> PixelMap:
    """The map into a part of an image that starts at column ``left_px`` and row ``top_px`` (negative: padding)."""
    return PixelMap((1.0, 1.0), (float(-left_px), float(-top_px)))


def corner_pixels_from_centre_pixels(points: Points) -> NDArray[np.float32]:
    """Points for a library whose origin is an image's top-left *corner*, so that its pixel centres end in .5.

    Rerun is one. Source: rerun-io/rerun issue 3896.

    Args:
        points: (N, 2) in pixels, the origin at the centre of the top-left one.

    Returns:
        float32 (N, 2).
    """
    return PixelMap((1.0, 1.0), (0.5, 0.5))(points)


def warped_by_homography(target_from_source: NDArray[np.float64], points: Points) -> NDArray[np.float64]:
    """Apply a homography (3, 3) to points (N, 2); float64 (N, 2), in pixels of the target.

    A point on the line at infinity comes out as infinity or NaN, without a warning.
    """
    homogeneous = np.concatenate([np.asarray(points, np.float64), np.ones((len(points), 1))], axis=1)
    mapped = homogeneous @ np.asarray(target_from_source, np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(mapped[:, :2] / mapped[:, 2:])


def inverse(homography: NDArray[np.float64]) -> NDArray[np.float64]:
    """``first_from_second`` of ``second_from_first``: the inverse of an invertible (3, 3)."""
    return np.asarray(np.linalg.inv(homography), np.float64)


def reprojection_errors(first: Points, second: Points, second_from_first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance in the second image between each matched point and where its partner truly lies: float64 (M,).

    A point that the homography takes to infinity has an infinite error.

    Args:
        first: matched points (M, 2) of the first image.
        second: their partners (M, 2) in the second image.
        second_from_first: the true homography (3, 3).
    """
    apart = np.linalg.norm(warped_by_homography(second_from_first, first) - second, axis=1)
    return np.asarray(np.nan_to_num(apart, nan=np.inf, posinf=np.inf), np.float64)


def symmetric_errors(first: Points, second: Points, second_from_first: NDArray[np.float64]) -> NDArray[np.float64]:
    """The larger of the reprojection errors in the second and in the first image: float64 (M,)."""
    first_from_second = inverse(second_from_first)
    return np.maximum(
        reprojection_errors(first, second, second_from_first), reprojection_errors(second, first, first_from_second)
    )


def homography_from_map(target_from_source: PixelMap) -> NDArray[np.float64]:
    """The homography (3, 3) that does what an axis-aligned map does, to be chained with others by ``@``."""
    (sx, sy), (ox, oy) = target_from_source.scale, target_from_source.offset
    return np.array([[sx, 0.0, ox], [0.0, sy, oy], [0.0, 0.0, 1.0]])


def map_from_corner_matrix(target_from_source: NDArray[np.float64]) -> PixelMap:
    """The map that another library's matrix stands for, whose origin is an image's top-left *corner*.

    Args:
        target_from_source: (3, 3), a scale and an offset along each axis, in pixels whose integers are edges.

    Raises:
        UsageError: the matrix turns, shears or tilts, which a ``PixelMap`` cannot.
    """
    matrix = np.asarray(target_from_source, np.float64) / target_from_source[2, 2]
    (sx, _, tx), (_, sy, ty), _ = matrix.tolist()
    if not np.allclose(matrix, [[sx, 0, tx], [0, sy, ty], [0, 0, 1]], atol=1e-6) or sx == 0 or sy == 0:
        raise UsageError(f"pixel map: expected a matrix that scales and shifts alone, got {matrix.tolist()}")
    return PixelMap((sx, sy), (0.5 * sx - 0.5 + tx, 0.5 * sy - 0.5 + ty))


def corner_matrix_from_map(target_from_source: PixelMap) -> NDArray[np.float64]:
    """The matrix (3, 3) of the same map for a library whose origin is an image's top-left *corner*."""
    (sx, sy), (ox, oy) = target_from_source.scale, target_from_source.offset
    return np.array([[sx, 0.0, ox + 0.5 - 0.5 * sx], [0.0, sy, oy + 0.5 - 0.5 * sy], [0.0, 0.0, 1.0]])


def second_from_first_prepared(
    second_from_first: NDArray[np.float64],
    prepared_from_first: PixelMap,
    prepared_from_second: PixelMap,
) -> NDArray[np.float64]:
    """The homography between two images after each was resized or cropped.

    Args:
        second_from_first: homography (3, 3) between the original images.
        prepared_from_first: what was done to the first image.
        prepared_from_second: what was done to the second image.

    Returns:
        ``prepared_from_second @ second_from_first @ first_from_prepared``, (3, 3), in pixels of the prepared images.
    """
    first_from_prepared = homography_from_map(prepared_from_first.inverse())
    return homography_from_map(prepared_from_second) @ np.asarray(second_from_first, np.float64) @ first_from_prepared


def inside_image(points: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which points (N, 2) lie on an image of (W, H) pixels, −0.5 ≤ x < W − 0.5 and likewise y; bool (N,).

    A point that is not finite does not.
    """
    return np.asarray(((points >= -0.5) & (points < np.array(size) - 0.5)).all(axis=1), np.bool_)


def outer_from_centre(points: Points) -> NDArray[np.float64]:
    """Points (N, 2) counted from the top-left pixel's outer corner, so that pixel i spans i … i + 1; float64 (N, 2)."""
    return np.asarray(points, np.float64) + 0.5


def centre_from_outer(points: Points) -> NDArray[np.float32]:
    """The inverse of ``outer_from_centre``: points (N, 2) counted from the top-left pixel's centre; float32 (N, 2)."""
    return np.asarray(np.asarray(points, np.float64) - 0.5, np.float32)
