from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from oakpoint.errors import ImageError
from oakpoint.images.levels import uint8_from_levels

RAMP = np.linspace(0, 1, 64 * 48).reshape(48, 64)


def test_eight_bits_are_left_as_they_are():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16) // 40  # a narrow range too
    levels, scaling = uint8_from_levels(image)
    assert levels is image or np.shares_memory(levels, image)
    assert scaling is None


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("share", [0.99, 0.26])
def test_of_an_unsigned_type_a_quarter_of_which_is_in_use_the_high_byte_is_kept(dtype, share):
    image = (RAMP * share * np.iinfo(dtype).max).astype(dtype)
    levels, scaling = uint8_from_levels(image)
    assert np.array_equal(levels, image >> 8 * (image.itemsize - 1))
    assert scaling is None


@pytest.mark.parametrize("share", [1.0, 0.26])
def test_floating_point_from_0_to_1_is_multiplied_by_255(share):
    levels, scaling = uint8_from_levels((RAMP * share).astype(np.float32))
    assert np.abs(levels - RAMP * share * 255).max() <= 0.5 + 1e-4
    assert scaling is None


@pytest.mark.parametrize(
    ("low", "high", "dtype", "kind"),
    [
        (7012, 8411, np.uint16, "16 bit"),  # a thermal camera of 14 bits
        (29500, 31000, np.uint16, "16 bit"),  # hundredths of a kelvin
        (0, 1023, np.uint16, "16 bit"),
        (0, 4095, np.uint16, "16 bit"),
        (0, 16383, np.uint16, "16 bit"),
        (-1000, 1000, np.int16, "16 bit signed"),
        (-100, 100, np.int8, "8 bit signed"),
        (0, 4000, np.int32, "32 bit signed"),
        (0, 4000, np.uint32, "32 bit"),
        (20.0, 35.0, np.float32, "32 bit floating point"),
        (0.4, 0.6, np.float64, "64 bit floating point"),
        (0.0, 255.0, np.float32, "32 bit floating point"),
    ],
)
def test_other_values_are_stretched_and_it_is_said_from_where(low, high, dtype, kind):
    image = (low + RAMP * (high - low)).astype(dtype)
    levels, scaling = uint8_from_levels(image)
    assert levels.dtype == np.uint8
    step = 255 / (high - low) if np.issubdtype(dtype, np.integer) else 0
    assert np.abs(levels - RAMP * 255).max() <= 1 + step
    in_use = np.sort(image, axis=None)[3:-3]  # 0.1 % of 3,072 values at each end
    assert scaling == f"{kind}, values {in_use[0]:.5g} to {in_use[-1]:.5g} scaled to 0–255"


@pytest.mark.parametrize(("dead", "hot"), [(0, 65535), (0, 8000), (7500, 65535)])
def test_a_dead_and_a_hot_pixel_do_not_decide(dead, hot):
    thermal = (7000 + RAMP * 1500).astype(np.uint16)
    levels = uint8_from_levels(thermal)[0]
    thermal[3, 3], thermal[4, 4] = dead, hot
    with_outliers = uint8_from_levels(thermal)[0]
    assert np.abs(np.delete(levels.ravel() - with_outliers.astype(int).ravel(), [3 * 64 + 3, 4 * 64 + 4])).max() <= 1


def test_a_few_bright_points_on_black_are_seen():
    image = np.zeros((64, 64), np.uint16)
    image[30, 30] = 900
    levels, scaling = uint8_from_levels(image)
    assert (levels[30, 30], levels.sum()) == (255, 255)
    assert scaling == "16 bit, values 0 to 900 scaled to 0–255"


def test_channels_are_scaled_together():
    image = np.stack([RAMP * 1000, RAMP * 500, np.zeros_like(RAMP)], axis=2).astype(np.uint16)
    levels = uint8_from_levels(image)[0]
    assert levels.reshape(-1, 3).max(axis=0) == pytest.approx([255, 128, 0], abs=2)


def test_values_that_are_not_finite_become_the_lowest_and_are_counted():
    image = RAMP.astype(np.float32)
    image[0, :3] = np.nan, np.inf, -np.inf
    levels, scaling = uint8_from_levels(image)
    assert levels[0, :3].tolist() == [0, 0, 0]
    assert np.abs(levels[1:] - RAMP[1:] * 255).max() <= 0.51
    assert scaling == "32 bit floating point, 3 values that are not finite set to the lowest"


def test_one_value_alone_is_black():
    levels, scaling = uint8_from_levels(np.full((4, 4), 7000, np.uint16))
    assert not levels.any()
    assert scaling == "16 bit, values 7000 to 7000 scaled to 0–255"


@pytest.mark.parametrize(
    ("image", "named"),
    [(np.full((4, 4), np.nan), "without one finite value"), (np.ones((4, 4), np.complex64), "got complex64")],
)
def test_what_has_no_levels(image, named):
    with pytest.raises(ImageError, match=named):
        uint8_from_levels(image)


DTYPES = st.sampled_from([np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.float32, np.float64])


@given(DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, st.tuples(st.integers(1, 9), st.integers(1, 9)))))
def test_order_is_kept_whatever_the_values(image):
    if not np.isfinite(image).any():
        return
    levels, _ = uint8_from_levels(image)
    finite = np.isfinite(image)
    order = np.argsort(image[finite], kind="stable")
    assert (np.diff(levels[finite][order].astype(int)) >= 0).all()
    assert levels.dtype == np.uint8
    assert levels.shape == image.shape
