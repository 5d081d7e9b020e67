"""Would matches that have nothing to do with each other agree as well? The test that tells a model from an accident."""

from __future__ import annotations

from math import hypot, lgamma, log, log10, pi, sqrt

from oakpoint.estimation.options import SAMPLE, GeometricModel

MODELS_OF_A_SAMPLE = {"homography": 1, "fundamental": 3, "essential": 10}
"""Real solutions of the smallest sample, at most. Source: Hartley and Zisserman 2004, 11.1.2; Nistér 2004."""


def log10_by_chance(
    model: GeometricModel, *, matches: int, inliers: int, threshold_px: float, sizes: tuple[tuple[int, int], ...]
) -> float:
    """Decimal logarithm of how many models with so many inliers are to be expected among matches that are all random.

    Such as −40 for a true model, and 0 or more for what unrelated images give: N · C(M, k) · C(k, s) · α^(k − s), with
    N = M − s times the solutions of a sample, and α the probability that a point anywhere in the image is an inlier: a
    disc's or a band's share of it. A Sampson error of t is a distance of √2 · t to the lines where both images have the
    same, and the band is as long as the diagonal.

    Args:
        model: which one.
        matches: M, how many were matched.
        inliers: k, how many of them agree.
        threshold_px: t, up to which error.
        sizes: (W, H) of both images; the one in which chance is likelier counts.

    Source: Moisan and Stival 2004, «A probabilistic criterion to detect rigid point matches between two images and
    estimate the fundamental matrix», section 3; Moulon, Monasse, Marlet 2012 for homographies.
    """
    sample = SAMPLE[model]
    if inliers <= sample:
        return log10(max(matches, 1))
    share = min(1.0, max(_share(model, size, threshold_px) for size in sizes))
    tests = log(max(matches - sample, 1) * MODELS_OF_A_SAMPLE[model])
    ways = _log_choose(matches, inliers) + _log_choose(inliers, sample)
    return (tests + ways + (inliers - sample) * log(share)) / log(10)


def _share(model: GeometricModel, size: tuple[int, int], threshold_px: float) -> float:
    width, height = size
    inside = pi * threshold_px**2 if model == "homography" else 2 * sqrt(2) * threshold_px * hypot(width, height)
    return inside / (width * height)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
