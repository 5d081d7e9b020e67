from __future__ import annotations

import struct

import numpy as np
import pytest

from oakpoint.errors import FeaturesError
from oakpoint.features.packed import descriptors_from_packed, heatmap_from_packed, unpacked


def packed(levels: np.ndarray) -> np.ndarray:
    """uint8 (C, H, W) to int32 (C/4, H, W), value by value with ``struct``: an independent statement of the layout."""
    quarter = len(levels) // 4
    result = np.empty((quarter, *levels.shape[1:]), np.int32)
    for place in np.ndindex(result.shape):
        channel, row, column = place
        parts = [int(levels[channel + index * quarter, row, column]) - 128 for index in range(4)]
        value = sum(part * 256**index for index, part in enumerate(parts))
        (result[place],) = struct.unpack("<i", struct.pack("<q", value)[:4])
        assert result[place] == value, "the sum fits into int32"
    return result


def test_every_byte_comes_back_in_its_channel(rng: np.random.Generator) -> None:
    levels = rng.integers(1, 256, (16, 2, 3)).astype(np.uint8)
    levels[:, 0, 0], levels[:, 1, 1] = 1, 255  # the lowest and the highest sum
    np.testing.assert_array_equal(unpacked(packed(levels)), levels)


def test_the_levels_of_a_probability() -> None:
    levels = np.ones((64, 1, 1), np.uint8)
    levels[:3, 0, 0] = 255, 2, 128
    levels[8 * 6 + 5, 0, 0] = 204  # 8 octaves, less a fifth of a level
    heatmap = heatmap_from_packed(packed(levels))
    assert heatmap.shape == (8, 8)
    assert heatmap.dtype == np.float32
    np.testing.assert_allclose(heatmap[0, :4], [1, 2 ** (1 / 25.4 - 10), 2**-5, 0], rtol=1e-6)
    assert heatmap[6, 5] == pytest.approx(2**-2, rel=6e-3)


def test_descriptors_have_unit_norm_or_are_zero(rng: np.random.Generator) -> None:
    levels = rng.integers(1, 256, (8, 2, 2)).astype(np.uint8)
    levels[:, 1, 1] = 128
    got = descriptors_from_packed(packed(levels))
    expected = levels[:, 0, 1].astype(float) - 128
    np.testing.assert_allclose(got[:, 0, 1], expected / np.linalg.norm(expected), rtol=1e-6)
    assert not got[:, 1, 1].any()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((16, 1, 1), np.float32), r"expected int32 of rank 3 .*, got float32 \(16, 1, 1\)"),
        (np.zeros((1, 16, 1, 1), np.int32), "expected int32 of rank 3"),
        (np.zeros((15, 1, 1), np.int32), "packed heat map: expected 16 channels, got 15"),
    ],
)
def test_what_is_no_packed_heat_map(array: np.ndarray, message: str) -> None:
    with pytest.raises(FeaturesError, match=message):
        heatmap_from_packed(array)
