"""What drawing and following keypoints costs: processor time of one thread for a frame, and each part's share of it.

    python benchmarks/drawing.py [--keypoints 600] [--size 640x480] [--rounds 30]

Tracks are random walks of up to 20 positions. «dots» are drawn alone, by a call of OpenCV's for each rim and each disc;
«dots, a function each» is the same with a function of Python's for each dot, as it was before: same pictures. What is
printed is the median of some rounds, in each of which all parts take their turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.features.tracking import Tracker
from oakpoint.features.types import Features
from oakpoint.view import draw


def made_up(count: int, size: tuple[int, int]) -> tuple[list[Features], NDArray[np.float32], NDArray[np.int64]]:
    """Features of two frames that match, positions of tracks (N, 20, 2) and their ages."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, size, (count, 2)).astype(np.float32)
    descriptors = rng.normal(size=(count, 64)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    scores = np.sort(rng.random(count).astype(np.float32))[::-1]
    ages = rng.integers(1, 60, count)
    positions = (points[:, np.newaxis] + np.cumsum(rng.normal(0, 3, (count, 20, 2)), axis=1)).astype(np.float32)
    for row, age in zip(positions, ages, strict=True):
        row[: max(0, 20 - age)] = np.nan
    order = rng.permutation(count)
    features = [Features(points[rows], scores, descriptors[rows], size) for rows in (np.arange(count), order)]
    return features, positions, ages


def dots_by_functions(canvas: NDArray[np.uint8], points: NDArray[np.float32], shares: NDArray[np.float64]) -> None:
    """Dots of radius 2.5 px as they were drawn before."""

    def dot(centre: tuple[int, int], colour: draw.Colour, radius_px: float) -> None:
        radius = round(radius_px * (1 << draw._SHIFT))
        cv2.circle(canvas, centre, radius + (1 << draw._SHIFT), draw._RIM, cv2.FILLED, cv2.LINE_AA, draw._SHIFT)
        cv2.circle(canvas, centre, radius, colour, cv2.FILLED, cv2.LINE_AA, draw._SHIFT)

    order = np.argsort(shares, kind="stable")
    levels = draw._level(shares[order]).tolist()
    for (x, y), level in zip(draw._fixed_point(points[order]).tolist(), levels, strict=True):
        dot((x, y), draw._PALETTE[level], 2.5)


def follow(features: list[Features]) -> None:
    """Two frames, of which the second is matched with the first."""
    tracker = Tracker(max_length=20, max_distance=0.7)
    for each in features:
        tracker.update(each)


def main() -> None:
    """Measure on this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=int, default=600)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    features, positions, ages = made_up(options.keypoints, (width, height))
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    shares, radii = np.linspace(0, 1, options.keypoints), np.full(options.keypoints, 2.5)
    points = features[0].keypoints
    one, other = image.copy(), image.copy()
    draw._draw_dots(one, points, shares, radii)
    dots_by_functions(other, points, shares)
    assert np.array_equal(one, other), "the same pictures"
    parts: dict[str, Callable[[], object]] = {
        "draw_tracks": lambda: draw.draw_tracks(image, positions, ages),
        "draw_keypoints": lambda: draw.draw_keypoints(image, features[0]),
        "dots": lambda: draw._draw_dots(one, points, shares, radii),
        "dots, a function each": lambda: dots_by_functions(other, points, shares),
        "the strip below": lambda: draw.with_status(image, ["60.0 fps done", "600 keypoints", "500 tracks"]),
        "following": lambda: follow(features),
    }
    found: dict[str, list[float]] = {name: [] for name in parts}
    cv2.setNumThreads(1)
    for _ in range(options.rounds):
        for name, part in parts.items():
            before = time.thread_time()
            part()
            found[name].append(1e3 * (time.thread_time() - before))
    whole = statistics.median(found["draw_tracks"])
    print(f"{options.keypoints} keypoints at {options.size}, processor time of a frame")
    for name, times in found.items():
        print(f"{name:24} {statistics.median(times):6.2f} ms {statistics.median(times) / whole:6.2f} of draw_tracks")


if __name__ == "__main__":
    main()
