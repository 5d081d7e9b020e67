"""Fit a model to matched points, say which of them agree with it, and say so where there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError, first_line
from oakpoint.estimation.chance import log10_by_chance
from oakpoint.estimation.epipolar import Pose, fundamental_from_essential, pose_from_essential, sampson_errors
from oakpoint.estimation.options import SAMPLE, FitOptions, GeometricModel
from oakpoint.geometry import Points, symmetric_errors

Size = tuple[int, int]

_EXPECTED_BY_CHANCE = 1.0
"""A model is no accident where fewer than so many like it are to be expected. Source: Moisan and Stival 2004, ε = 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """What was fitted to M matches.

    Attributes:
        model: which model was asked for.
        matrix: float64 (3, 3) in pixels (an essential matrix: in directions); None where there is none. A homography
            takes points of the first image to the second, its last element is 1; of the others see ``epipolar``: their
            Frobenius norm is 1 and the largest element is positive.
        inliers: bool (M,); none where there is no matrix.
        errors_px: float64 (M,), see ``errors_of``; infinite where there is no matrix.
        reason: why there is no matrix; None where there is one.
        log10_by_chance: see ``chance``; None where nothing was found that could be judged.
        on_one_homography: of an epipolar geometry, how many of its inliers a single homography explains as well. Where
            that is nearly all, the scene is flat or the camera only turned, and the geometry is one of many that fit.
        pose: of an essential matrix.
    """

    model: GeometricModel
    matrix: NDArray[np.float64] | None
    inliers: NDArray[np.bool_]
    errors_px: NDArray[np.float64]
    reason: str | None = None
    log10_by_chance: float | None = None
    on_one_homography: int | None = None
    pose: Pose | None = None

    @property
    def count(self) -> int:
        """How many inliers."""
        return int(self.inliers.sum())

    def facts(self) -> dict[str, Any]:
        """For machines."""
        found = self.matrix is not None
        return {
            "model": self.model,
            "matrix": self.matrix.tolist() if self.matrix is not None else None,
            "reason": self.reason,
            "inliers": self.count,
            "median_error_px": float(np.median(self.errors_px[self.inliers])) if found else None,
            "log10_by_chance": self.log10_by_chance,
            "on_one_homography": self.on_one_homography,
            "pose": self.pose.facts() if self.pose is not None else None,
        }


def fit_model(first: Points, second: Points, options: FitOptions, *, sizes: tuple[Size, Size]) -> Fit:
    """Fit a model to matched points; the order of the matches has no influence.

    The search is OpenCV's (``FitOptions.usac``). Which matches agree is told here, by ``errors_of``, and not by
    OpenCV's mask, whose error differs by model and version.

    Args:
        first: points (M, 2) of the first image in pixels; M may be 0.
        second: their partners (M, 2) in the second image.
        options: the model and how it is searched for.
        sizes: (W, H) of both images in pixels.

    Returns:
        The model, or the reason why there is none: fewer matches in different places than fix the model and confirm it,
        all of those that agree on one line, OpenCV finds none, or unrelated images would give as good a one.

    Raises:
        UsageError: arrays that are not points, or not as many of the one as of the other.
    """
    if first.shape != (len(first), 2) or second.shape != first.shape:
        raise UsageError(f"matched points: expected (M, 2) twice, got {first.shape} and {second.shape}")
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    places = np.concatenate([a, b], axis=1)
    distinct = np.unique(places[np.isfinite(places).all(axis=1)], axis=0)  # sorted, and so in the same order always
    needed = SAMPLE[options.model] + 1
    if len(distinct) < needed:
        return _none(
            options, len(a), f"{_counted(len(distinct), len(a))}, and {needed} is the least that can confirm it"
        )
    try:
        matrix = _searched(distinct[:, :2], distinct[:, 2:], options)
    except cv2.error as error:
        return _none(options, len(a), f"OpenCV finds none ({first_line(error)})")
    if matrix is None:
        return _none(options, len(a), f"OpenCV finds none among {len(distinct)} different matches")
    return _judged(matrix, a, b, options, sizes)


def errors_of(first: Points, second: Points, matrix: NDArray[np.float64], options: FitOptions) -> NDArray[np.float64]:
    """The error of each match in pixels, float64 (M,), which inliers have up to the threshold.

    Of a homography it is the larger of the reprojection errors in both images, of the others Sampson's. That of a point
    that is no number is infinite.
    """
    errors = np.full(len(first), np.inf)
    usable = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    if options.model == "homography":
        errors[usable] = symmetric_errors(first[usable], second[usable], matrix)
        return errors
    if options.cameras is not None:
        matrix = fundamental_from_essential(matrix, options.cameras)
    errors[usable] = sampson_errors(first[usable], second[usable], matrix)
    return errors


def _searched(
    first: NDArray[np.float64], second: NDArray[np.float64], options: FitOptions
) -> NDArray[np.float64] | None:
    """What OpenCV finds, in one scale and sign; None where that is nothing, or no matrix of full use."""
    if options.model == "homography":
        found, _ = cv2.findHomography(first, second, options.usac())
    elif options.model == "fundamental":
        found, _ = cv2.findFundamentalMat(first, second, options.usac())
    else:
        assert options.cameras is not None
        k_first, k_second = (camera.matrix for camera in options.cameras)
        straight = np.zeros(5)
        found, _ = cv2.findEssentialMat(
            np.asarray(first, np.float64), second, k_first, k_second, straight, straight, options.usac()
        )
    if found is None or found.shape != (3, 3) or not np.isfinite(found).all() or not found.any():
        return None
    matrix = np.asarray(found, np.float64) / np.linalg.norm(found)
    if options.model != "homography":
        return np.asarray(matrix * np.sign(matrix.flat[np.abs(matrix).argmax()]), np.float64)
    if abs(matrix[2, 2]) < np.finfo(np.float64).eps or np.linalg.cond(matrix) > 1 / np.finfo(np.float64).eps:
        return None
    return np.asarray(matrix / matrix[2, 2], np.float64)


def _judged(
    matrix: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    options: FitOptions,
    sizes: tuple[Size, Size],
) -> Fit:
    errors = errors_of(first, second, matrix, options)
    inliers = errors <= options.limit_px
    a, b = first[inliers], second[inliers]
    count, needed = len(np.unique(np.concatenate([a, b], axis=1), axis=0)), SAMPLE[options.model] + 1
    only = f"only {len(a)} of {len(first)} matches agree"
    if count < needed:
        return _none(options, len(first), f"{only}, and {needed} in different places is the least that can confirm it")
    if min(_off_line_px(a), _off_line_px(b)) <= options.limit_px:
        return _none(options, len(first), f"the {len(a)} matches that agree lie on one line, which fixes no model")
    chance = log10_by_chance(
        options.model, matches=len(first), inliers=count, threshold_px=options.limit_px, sizes=sizes
    )
    if chance >= np.log10(_EXPECTED_BY_CHANCE):
        return _none(options, len(first), f"{only}, which unrelated images would do as well", chance)
    epipolar = options.model != "homography"
    return Fit(
        model=options.model,
        matrix=matrix,
        inliers=inliers,
        errors_px=errors,
        log10_by_chance=chance,
        on_one_homography=_on_one_homography(a, b, options) if epipolar else None,
        pose=pose_from_essential(matrix, a, b, options.cameras) if options.cameras is not None else None,
    )


def _on_one_homography(first: Points, second: Points, options: FitOptions) -> int:
    flat = FitOptions(
        threshold_px=options.limit_px,
        confidence=options.confidence,
        max_iterations=options.max_iterations,
        seed=options.seed,
    )
    distinct = np.unique(np.concatenate([first, second], axis=1), axis=0)
    try:
        homography = _searched(distinct[:, :2], distinct[:, 2:], flat)
    except cv2.error:
        return 0
    return 0 if homography is None else int((errors_of(first, second, homography, flat) <= flat.limit_px).sum())


def _off_line_px(points: NDArray[np.float64]) -> float:
    """Root mean square distance of points (M, 2) from the line that is nearest to them, in pixels."""
    centred = points - points.mean(axis=0)
    return float(np.linalg.svd(centred, compute_uv=False)[-1] / np.sqrt(len(points)))


def _counted(distinct: int, matches: int) -> str:
    if distinct == matches:
        return f"{matches} match{'es' if matches != 1 else ''}"
    return f"{distinct} different match{'es' if distinct != 1 else ''} of {matches}"


def _none(options: FitOptions, matches: int, reason: str, chance: float | None = None) -> Fit:
    return Fit(
        model=options.model,
        matrix=None,
        inliers=np.zeros(matches, np.bool_),
        errors_px=np.full(matches, np.inf),
        reason=reason,
        log10_by_chance=chance,
    )
