from __future__ import annotations

import numpy as np
import pytest
import torch

from oakpoint.errors import FeaturesError
from oakpoint.features.heatmap import heatmap_from_logits


def test_it_is_softmax_and_pixel_shuffle(rng: np.random.Generator) -> None:
    logits = rng.normal(0, 5, (65, 3, 4)).astype(np.float32)
    heatmap = heatmap_from_logits(logits)
    probabilities = torch.softmax(torch.from_numpy(logits), 0)[None, :64]
    expected = torch.nn.functional.pixel_shuffle(probabilities, 8)[0, 0].numpy()
    assert heatmap.dtype == np.float32
    assert heatmap.flags.c_contiguous
    np.testing.assert_allclose(heatmap, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("channel", "x", "y"), [(0, 8, 16), (7, 15, 16), (8, 8, 17), (63, 15, 23)])
def test_channels_run_along_the_rows_of_a_cell(channel: int, x: int, y: int) -> None:
    logits = np.zeros((65, 4, 3), np.float32)
    logits[channel, 2, 1] = 20
    heatmap = heatmap_from_logits(logits)
    assert np.unravel_index(heatmap.argmax(), heatmap.shape) == (y, x)


def test_a_confident_dustbin_leaves_nothing() -> None:
    logits = np.zeros((65, 2, 2), np.float32)
    logits[64] = 100
    assert heatmap_from_logits(logits).max() < 1e-30


def test_huge_logits_do_not_overflow() -> None:
    logits = np.full((65, 1, 1), -3e38, np.float32)
    logits[10] = 3e38
    heatmap = heatmap_from_logits(logits)
    assert heatmap[1, 2] == 1
    assert heatmap.sum() == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 33, 64])
def test_a_cell_that_is_not_finite_has_no_keypoint_and_spoils_no_other(value: float, channel: int) -> None:
    logits = np.zeros((65, 2, 3), np.float32)
    logits[channel, 1, 2] = value
    heatmap = heatmap_from_logits(logits)
    assert not heatmap[8:, 16:].any()
    heatmap[8:, 16:] = 1 / 65
    np.testing.assert_allclose(heatmap, 1 / 65, rtol=1e-6)


def test_the_input_is_left_alone(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(65, 2, 2)).astype(np.float32)
    before = logits.copy()
    heatmap_from_logits(logits)
    np.testing.assert_array_equal(logits, before)


def test_other_channel_counts_are_refused() -> None:
    with pytest.raises(FeaturesError, match=r"expected \(65, rows, columns\), got \(64, 2, 2\)"):
        heatmap_from_logits(np.zeros((64, 2, 2), np.float32))
