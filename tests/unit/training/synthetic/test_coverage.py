from __future__ import annotations

import cv2
import numpy as np
import pytest

from oakpoint.training.synthetic.coverage import coverage, signed_area

SIZE = (40, 30)


def covered(*contours, values=None):
    contours = [np.array(contour, np.float64) for contour in contours]
    return coverage(contours, np.array(values or [100.0] * len(contours)), SIZE)


def rectangle(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_a_pixel_spans_half_a_pixel_about_its_centre():
    share, _ = covered(rectangle(2.5, 3.5, 5.0, 5.5))
    assert share[4:6, 3:5].tolist() == [[1, 1], [1, 1]]
    assert share[4:6, 5].tolist() == [0.5, 0.5]
    assert share.sum() == 5.0


@pytest.mark.parametrize("backwards", [False, True])
def test_the_sense_of_rotation_does_not_matter(backwards):
    triangle = [[3.2, 4.1], [30.7, 8.9], [12.4, 25.3]]
    share, _ = covered(triangle[::-1] if backwards else triangle)
    assert share.sum() == pytest.approx(abs(signed_area(np.array(triangle))), rel=1e-6)


def test_coverage_is_what_very_many_samples_say(rng):
    factor = 16
    star = np.array([20.3, 14.8]) + rng.uniform(6, 13, 10)[:, None] * [
        [np.cos(angle), np.sin(angle)] for angle in 2 * np.pi * np.arange(10) / 10
    ]
    large = np.zeros((SIZE[1] * factor, SIZE[0] * factor), np.uint8)
    sampled = np.rint(((star + 0.5) * factor - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(large, [sampled], 255, shift=4)
    expected = cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA) / 255
    share, _ = covered(star)
    np.testing.assert_allclose(share, expected, atol=0.1)  # fillPoly's shapes are half a sample too large all round
    assert abs(share - expected).mean() < 0.01


def test_polygons_that_share_an_edge_leave_no_seam():
    share, grey = covered(
        [[5.3, 5.1], [20.7, 7.2], [9.9, 20.4]], [[20.7, 7.2], [25.2, 22.8], [9.9, 20.4]], values=[50.0, 200.0]
    )
    middle = share[9:19, 10:19]
    np.testing.assert_allclose(middle[np.tril_indices(8)], 1, atol=1e-6)
    assert grey[share > 0.999].min() == pytest.approx(50)
    assert grey[share > 0.999].max() == pytest.approx(200)


def test_what_lies_outside_is_cut_off():
    share, grey = covered(rectangle(-1000, -1000, 1000, 1000))
    assert (share == 1).all()
    assert (grey == 100).all()
    for outside in (rectangle(-9, 2, -1, 5), rectangle(40, 2, 50, 5), rectangle(2, -9, 5, -1), rectangle(2, 30, 5, 99)):
        assert covered(outside)[0].sum() < 1e-6
    half, _ = covered(rectangle(-100, -0.5, 9.5, 29.5))
    assert half[:, :10].min() == 1
    assert half[:, 10:].max() < 1e-6
