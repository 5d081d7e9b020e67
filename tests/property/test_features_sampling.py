from __future__ import annotations

from typing import get_args

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from oakpoint.features.sampling import sample_descriptors
from oakpoint.features.types import DescriptorSampling

conventions = st.sampled_from(get_args(DescriptorSampling))
grids = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5))
values = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, np.nan, np.inf])
descriptors = grids.flatmap(lambda shape: npst.arrays(np.float32, shape, elements=values))
points = npst.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(2)), elements=st.floats(-20, 60, width=32))


@given(descriptors, points, conventions)
def test_each_descriptor_is_of_unit_norm_or_zero(
    coarse: np.ndarray, keypoints: np.ndarray, sampling: DescriptorSampling
) -> None:
    sampled = sample_descriptors(coarse, keypoints, sampling)
    assert sampled.shape == (len(keypoints), coarse.shape[0])
    norms = np.linalg.norm(sampled, axis=1)
    assert ((np.abs(norms - 1) < 1e-5) | (norms == 0)).all()


@given(st.integers(0, 2**32 - 1), conventions)
def test_the_norm_of_a_cell_does_not_matter(seed: int, sampling: DescriptorSampling) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(8, 3, 4)).astype(np.float32)
    keypoints = rng.uniform(0, (31, 23), (20, 2)).astype(np.float32)
    scaled = (coarse * rng.uniform(1e-3, 1e3, (1, 3, 4))).astype(np.float32)
    np.testing.assert_allclose(
        sample_descriptors(scaled, keypoints, sampling), sample_descriptors(coarse, keypoints, sampling), atol=1e-5
    )
