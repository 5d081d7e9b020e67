from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oakpoint.training.synthetic.coverage import coverage, signed_area

triangles = hnp.arrays(np.float64, (3, 2), elements=st.floats(0, 29, allow_subnormal=False))


@given(triangles)
def test_the_covered_area_is_the_polygons(triangle):
    share, _ = coverage([triangle], np.array([200.0]), (30, 30))
    assert share.sum() == pytest.approx(abs(signed_area(triangle)), abs=1e-3)
    assert ((share >= 0) & (share <= 1)).all()


@given(triangles, st.integers(1, 5), st.integers(1, 5))
def test_whole_pixels_of_shift_shift_the_picture(triangle, right_px, down_px):
    share, _ = coverage([triangle], np.array([200.0]), (40, 40))
    shifted, _ = coverage([triangle + np.array([right_px, down_px])], np.array([200.0]), (40, 40))
    np.testing.assert_allclose(shifted[down_px:, right_px:], share[:-down_px, :-right_px], atol=1e-5)


@given(triangles)
def test_the_centre_of_the_covered_area_is_the_polygons(triangle):
    share, _ = coverage([triangle], np.array([200.0]), (30, 30))
    if abs(signed_area(triangle)) > 30:
        rows, columns = np.mgrid[:30, :30]
        centre = [(share * axis).sum() / share.sum() for axis in (columns, rows)]
        # Coverage forgets where within a pixel the area lies: at most half a pixel, and far less on average.
        np.testing.assert_allclose(centre, triangle.mean(axis=0), atol=0.35)
