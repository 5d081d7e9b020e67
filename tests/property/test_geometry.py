from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oakpoint.geometry import PixelMap, cropped_from_full, resized_from_original, warped_by_homography

sides = st.integers(1, 8000)
sizes = st.tuples(sides, sides)
points = hnp.arrays(np.float64, (5, 2), elements=st.floats(-8000, 8000))
scales = st.floats(0.01, 100)
offsets = st.floats(-8000, 8000)
maps = st.builds(PixelMap, st.tuples(scales, scales), st.tuples(offsets, offsets))


@given(maps, points)
def test_the_inverse_takes_back(target_from_source, source):
    there = np.asarray(source) * target_from_source.scale + target_from_source.offset  # in float64, unlike the call
    np.testing.assert_allclose(target_from_source.inverse()(there), source, atol=1e-3)


@given(maps)
def test_a_map_after_its_inverse_is_the_identity(target_from_source):
    identity = target_from_source @ target_from_source.inverse()
    np.testing.assert_allclose(identity.scale, 1, rtol=1e-12)
    np.testing.assert_allclose(identity.offset, 0, atol=1e-6)


@given(maps, maps, maps)
def test_composition_is_associative(c, b, a):
    left, right = (c @ b) @ a, c @ (b @ a)
    np.testing.assert_allclose(left.scale, right.scale, rtol=1e-12)
    np.testing.assert_allclose(left.offset, right.offset, rtol=1e-9, atol=1e-3)


@given(sizes, sizes)
def test_resizing_back_is_the_inverse(original, resized):
    there, back = resized_from_original(original, resized), resized_from_original(resized, original)
    np.testing.assert_allclose(there.inverse().scale, back.scale, rtol=1e-12)
    np.testing.assert_allclose(there.inverse().offset, back.offset, rtol=1e-12, atol=1e-9)


@given(sizes, sizes, sizes)
def test_resizing_twice_is_resizing_once(first, second, third):
    twice = resized_from_original(second, third) @ resized_from_original(first, second)
    once = resized_from_original(first, third)
    np.testing.assert_allclose(twice.scale, once.scale, rtol=1e-12)
    np.testing.assert_allclose(twice.offset, once.offset, rtol=1e-9, atol=1e-6)


@given(maps, points)
def test_a_map_is_a_homography(target_from_source, source):
    (sx, sy), (ox, oy) = target_from_source.scale, target_from_source.offset
    homography = np.array([[sx, 0, ox], [0, sy, oy], [0, 0, 1]])
    np.testing.assert_allclose(
        target_from_source(source), warped_by_homography(homography, source), rtol=1e-6, atol=1e-3
    )


@given(st.integers(-9999, 9999), st.integers(-9999, 9999))
def test_cropping_back_is_padding(left_px, top_px):
    assert cropped_from_full(left_px, top_px).inverse() == cropped_from_full(-left_px, -top_px)
