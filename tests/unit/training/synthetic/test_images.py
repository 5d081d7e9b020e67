from __future__ import annotations

import cv2
import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.training.dataset import Dataset
from oakpoint.training.synthetic.images import KINDS, MAX_POINTS, _Canvas, _visible, synthetic_image, true_labels
from oakpoint.training.synthetic.shapes import (
    CONTRAST,
    MOST_POINTS,
    Drawing,
    Spot,
    box,
    checkerboard,
    contrasting,
    corners,
    ellipse,
    lines,
    polygon,
    text,
)

GREY = 110.0


def drawn(draw, seed, *, size=(240, 240)):
    """An image of one shape on plain grey, and its corners that are to be seen."""
    rng = np.random.default_rng(seed)
    canvas = _Canvas(np.full(size[::-1], GREY, np.float32))
    centre = np.array(size) / 2 + rng.uniform(0, 1, 2)
    canvas.draw(draw(Spot(centre, 90.0, GREY), rng))
    return canvas.image, _visible(canvas.image, canvas.points)


def rectangle(left, top, right, bottom, grey):
    contour = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return Drawing([contour], np.array([float(grey)]), contour)


@pytest.mark.parametrize("size", [(640, 480), (97, 64), (64, 200)])
def test_an_image_and_its_corners(size):
    counts = []
    for seed in range(12):
        image, points = synthetic_image(size, np.random.default_rng(seed))
        assert image.shape == size[::-1]
        assert image.dtype == np.uint8
        assert points.dtype == np.float32
        assert points.shape == (len(points), 2)
        assert len(points) <= MAX_POINTS
        assert ((points >= 0) & (points <= np.array(size) - 1)).all()
        counts.append(len(points))
    assert np.median(counts) > 5


def test_the_same_state_gives_the_same_image():
    (first, first_points), (second, second_points) = (
        synthetic_image((160, 120), np.random.default_rng(5)) for _ in "ab"
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first_points, second_points)
    other, _ = synthetic_image((160, 120), np.random.default_rng(6))
    assert (other != first).any()


def test_a_size_too_small_is_refused(rng):
    with pytest.raises(UsageError, match="got 640×32"):
        synthetic_image((640, 32), rng)


@pytest.mark.parametrize(
    ("draw", "median_px"),
    # cornerSubPix itself is drawn a little into an L; across a board's crossings it has no bias.
    [(checkerboard, 0.15), (polygon, 0.3), (box, 0.3), (text, 0.3)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_corners_are_where_opencv_finds_them(draw, median_px):
    errors = []
    for seed in range(12):
        image, points = drawn(draw, seed)
        apart = np.linalg.norm(points[:, None] - points, axis=2) + 1e3 * np.eye(len(points))
        points = points[apart.min(axis=1) > 12] if len(points) > 1 else points
        if len(points):
            start = np.ascontiguousarray(points[:, None], np.float32)
            criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-3)
            found = cv2.cornerSubPix(image.astype(np.uint8), start, (4, 4), (-1, -1), criteria)[:, 0]
            errors.append(found - points)
    offsets = np.concatenate(errors)
    assert len(offsets) > 20
    assert np.median(np.linalg.norm(offsets, axis=1)) < median_px
    assert abs(offsets.mean(axis=0)).max() < 0.06


def test_strong_corners_of_a_clean_drawing_are_all_known():
    """What Shi and Tomasi find strongest on polygons, boxes and boards is a known corner."""
    for draw in (polygon, checkerboard, box):
        for seed in range(10):
            image, points = drawn(draw, seed)
            found = cv2.goodFeaturesToTrack(image.astype(np.uint8), 0, 0.2, 5, blockSize=5)[:, 0]
            nearest = np.linalg.norm(found[:, None] - points, axis=2).min(axis=1)
            assert np.percentile(nearest, 90) < 5, (draw.__name__, seed)  # its maxima lie inside sharp corners


def test_an_ellipse_has_no_corners():
    assert len(drawn(ellipse, 0)[1]) == 0


def test_a_crossing_of_lines_is_a_corner(rng):
    seen = 0
    for seed in range(30):
        image, points = drawn(lines, seed)
        seen += len(points)
        # Half of a line's end pixel may be covered, but its neighbour inwards is.
        inked = cv2.dilate(abs(image - GREY), np.ones((3, 3)))
        assert (inked[tuple(np.rint(points[:, ::-1]).astype(int).T)] > CONTRAST / 2).all()
    assert seen > 100


def test_hidden_corners_are_forgotten():
    canvas = _Canvas(np.full((100, 100), GREY, np.float32))
    canvas.draw(rectangle(20.2, 20.3, 50.4, 50.5, 200))
    assert len(canvas.points) == 4
    canvas.draw(rectangle(40, 40, 80, 80, 30))  # over the lower right corner
    assert sorted(canvas.points[:3].tolist()) == [[20.2, 20.3], [20.2, 50.5], [50.4, 20.3]]
    assert len(canvas.points) == 7
    canvas.draw(rectangle(23, 8, 30, 30, 30))  # within three pixels of the upper left one
    assert [20.2, 20.3] not in canvas.points.tolist()


def test_faint_corners_are_not_counted():
    canvas = _Canvas(np.full((100, 100), GREY, np.float32))
    canvas.draw(rectangle(20.2, 20.3, 50.4, 50.5, GREY + 4))
    canvas.draw(rectangle(60.2, 60.3, 90.4, 90.5, GREY + 40))
    visible = _visible(canvas.image, canvas.points)
    assert visible.min() == 60.2
    assert len(visible) == 4


def test_corners_outside_and_at_the_border_are_not_counted():
    canvas = _Canvas(np.full((100, 100), GREY, np.float32))
    canvas.draw(rectangle(-20, 1, 50, 50, 200))
    assert _visible(canvas.image, canvas.points).tolist() == [[50, 50]]


def test_flat_and_needle_vertices_are_no_corners():
    contour = np.array([[0, 0], [10, 0.5], [20, 0], [20, 20], [0, 20], [-60, 19]], np.float64)
    kept = corners(contour).tolist()
    assert [10, 0.5] not in kept
    assert [-60, 19] not in kept
    assert [20, 20] in kept


def test_every_kind_keeps_to_the_most_points():
    for draw, _ in KINDS:
        for seed in range(40):
            rng = np.random.default_rng(seed)
            drawing = draw(Spot(np.array([500.0, 500]), rng.uniform(12, 500), GREY), rng)
            assert len(drawing.points) <= MOST_POINTS, draw.__name__
            assert len(drawing.contours) == len(drawing.values)
            assert np.isfinite(drawing.points).all()


@pytest.mark.parametrize("grey", [0.0, 20.0, 128.0, 255.0])
def test_greys_that_contrast(grey, rng):
    greys = np.array([contrasting(grey, rng) for _ in range(200)])
    assert (abs(greys - grey) >= CONTRAST).all()
    assert ((greys >= 0) & (greys <= 255)).all()


def test_true_labels_go_into_a_dataset(tmp_path):
    image, points = synthetic_image((160, 120), np.random.default_rng(1))
    Dataset.create(tmp_path, image[None], max_points=MAX_POINTS, descriptor_dim=8)
    Dataset.open(tmp_path, writable=True).put(0, true_labels(points, descriptor_dim=8))
    dataset = Dataset.open(tmp_path)
    assert dataset.done.tolist() == [1]
    assert dataset.scores[0].sum() == len(points)
    np.testing.assert_array_equal(dataset.points[0, : len(points)], points)
    assert not dataset.descriptors.any()
