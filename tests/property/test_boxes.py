"""Suppression against its definition; and what rounding can change of it."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from oakpoint.tasks.boxes.certainty import certainty_of, extent_of, reach_of
from oakpoint.tasks.boxes.overlap import iou, iou_bounds
from oakpoint.tasks.boxes.suppression import kept_boxes

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes that crowd, and scores of two classes."""
    rng = np.random.default_rng(seed)
    near = rng.integers(0, 40, (count, 2))
    corners = np.concatenate([near, near + rng.integers(1, 30, (count, 2))], axis=1)
    return corners.astype(np.float32), rng.uniform(0, 1, (count, 2)).astype(np.float32)


def plain_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def plain_nms(
    corners: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.int64], limit: float
) -> list[int]:
    kept: list[int] = []
    for row in sorted(range(len(scores)), key=lambda i: -scores[i]):
        rivals = (i for i in kept if classes[i] == classes[row])
        if all(plain_iou(corners[row].astype(float), corners[i].astype(float)) <= limit for i in rivals):
            kept.append(row)
    return kept


@given(SEEDS, st.integers(0, 60), st.sampled_from([0.3, 0.45, 0.7]))
def test_suppression_is_its_definition(seed: int, count: int, limit: float) -> None:
    corners, scores = drawn(seed, count)
    best, classes = scores.max(axis=1), scores.argmax(axis=1).astype(np.int64)
    assert kept_boxes(corners, best, classes, limit).tolist() == plain_nms(corners, best, classes, limit)


def test_boxes_without_an_area_are_not_one() -> None:
    flat = np.array([[3, 3, 3, 9], [40, 40, 50, 40], [7, 7, 7, 7], [9, 9, 8, 5]], np.float32)
    scores, classes = np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.zeros(4, np.int64)
    assert kept_boxes(flat, scores, classes, 0.5).tolist() == [0, 1, 2, 3]
    found = certainty_of(flat, scores[:, np.newaxis], threshold=0.25, iou_threshold=0.5, error=0.0, place_error=0.0)
    assert found.kept == {(row, 0) for row in range(4)}


@given(SEEDS)
def test_overlap_is_its_definition(seed: int) -> None:
    corners, _ = drawn(seed, 12)
    expected = [[plain_iou(a, b) for b in corners.astype(float)] for a in corners.astype(float)]
    np.testing.assert_allclose(iou(corners, corners), expected, atol=1e-12)


@given(arrays(np.float32, (5, 4), elements=st.floats(-50, 50, width=32)))
def test_overlap_of_anything_is_a_share(corners: NDArray[np.float32]) -> None:
    found = iou(corners, corners)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()


def moved(rng: np.random.Generator, corners: NDArray[np.float32], off: NDArray[np.float64]) -> NDArray[np.float64]:
    return corners + rng.uniform(-1, 1, corners.shape) * off[:, np.newaxis]


@given(SEEDS, st.floats(0, 0.1))
def test_bounds_hold_for_every_box_within_the_error(seed: int, error: float) -> None:
    corners, _ = drawn(seed, 10)
    off = error * extent_of(corners)
    least, most = iou_bounds(corners, off)
    other = moved(np.random.default_rng(seed + 1), corners, off)
    found = iou(other, other)
    different = ~np.eye(10, dtype=bool)
    assert (least <= found + 1e-9)[different].all()
    assert (found <= most + 1e-9)[different].all()


@given(SEEDS, st.integers(0, 40), st.floats(0, 0.5), st.floats(0, 0.03), st.sampled_from([0.3, 0.6]))
def test_whatever_rounding_does_certain_boxes_are_found_and_no_impossible_ones(
    seed: int, count: int, error: float, place_error: float, threshold: float
) -> None:
    corners, scores = drawn(seed, count)
    limit = 0.5
    certainty = certainty_of(
        corners, scores, threshold=threshold, iou_threshold=limit, error=error, place_error=place_error
    )
    assert certainty.kept <= certainty.possible
    rng = np.random.default_rng(seed + 1)
    exact = scores.astype(np.float64)
    other = exact + 0.999 * error * rng.uniform(-1, 1, scores.shape) * reach_of(exact)
    places = moved(rng, corners, 0.999 * place_error * extent_of(corners))
    rows = np.flatnonzero(other.max(axis=1, initial=-1) >= threshold)
    classes = other[rows].argmax(axis=1).astype(np.int64)
    kept = plain_nms(places[rows], other[rows].max(axis=1), classes, limit)
    found = {(int(rows[i]), int(classes[i])) for i in kept}
    assert certainty.kept <= found
    assert found <= certainty.possible


@given(SEEDS, st.integers(0, 40))
def test_without_an_error_everything_is_certain(seed: int, count: int) -> None:
    corners, scores = drawn(seed, count)
    certainty = certainty_of(corners, scores, threshold=0.4, iou_threshold=0.5, error=0.0, place_error=0.0)
    rows = np.flatnonzero(scores.max(axis=1, initial=-1) >= 0.4)
    classes = scores[rows].argmax(axis=1).astype(np.int64)
    kept = plain_nms(corners[rows], scores[rows].max(axis=1), classes, 0.5)
    assert certainty.kept == certainty.possible == {(int(rows[i]), int(classes[i])) for i in kept}
