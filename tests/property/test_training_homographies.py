from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.training.homographies import ViewRanges, random_homographies, transform

sizes = st.tuples(st.integers(4, 100), st.integers(4, 100)).map(lambda cells: (8 * cells[0], 8 * cells[1]))
seeds = st.integers(0, 2**31)


@given(sizes, seeds)
def test_the_inverse_takes_back(size, seed):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand((4, 2), generator=generator) * torch.tensor(size)
    homographies, _ = random_homographies(centres, size, ViewRanges(), generator)
    in_view = torch.rand((4, 16, 2), generator=generator) * torch.tensor(size)
    in_image = transform(torch.linalg.inv(homographies.double()), in_view.double())
    assert torch.isfinite(in_image).all()  # all of a view looks at the image's plane
    torch.testing.assert_close(transform(homographies.double(), in_image), in_view.double(), atol=1e-3, rtol=0)


@given(sizes, seeds)
def test_views_keep_their_handedness(size, seed):
    generator = torch.Generator().manual_seed(seed)
    homographies, _ = random_homographies(torch.zeros((8, 2)), size, ViewRanges(), generator)
    assert (torch.linalg.det(homographies) > 0).all()
