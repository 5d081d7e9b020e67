"""What errors of rounding are like in a map, and what stands out of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.verify.rounding import STANDS_OUT, ErrorSizes

Array = NDArray[Any]
Flags = NDArray[np.bool_]
ROUNDING = 1e-3


def rounded(seed: int, size: tuple[int, int] = (128, 192)) -> tuple[Array, Array]:
    """A map of three channels, and the same with an error of ``ROUNDING`` everywhere."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / 40
    expected = np.stack([np.sin(x + k + seed) * np.cos(y - k) for k in range(3)]).astype(np.float32)
    noise = ROUNDING * np.random.default_rng(seed).normal(size=expected.shape)
    return expected, (expected + noise).astype(np.float32)


def stands_out(pairs: Iterable[tuple[Array, Array]], limit: float = 1e-2) -> bool:
    """Whether the largest error of some images is beyond what rounding explains."""
    sizes = ErrorSizes()
    for expected, got in pairs:
        sizes.add(expected, got)
    largest, usual = sizes.standing_out(limit * sizes.largest_expected)
    return largest > max(limit * sizes.largest_expected, STANDS_OUT * usual)


def marked(*place: slice) -> Flags:
    flags = np.zeros((128, 192), bool)
    flags[place] = True
    return flags


PARTS = {
    "a border of five pixels": ~marked(slice(5, -5), slice(5, -5)),
    "a tile": marked(slice(64), slice(48)),
    "the lowest rows": marked(slice(-12, None)),
    "a column": marked(slice(None), slice(100, 108)),
}


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_a_map_that_is_off_by_little_stands_out(part: str, images: int) -> None:
    """It has more than one place in a hundred, so that the usual error of all places is the fault's own."""
    where = PARTS[part]
    assert 0.03 < where.mean() < 0.3
    broken = [(a, np.where(where, b + np.float32(30 * ROUNDING), b)) for a, b in map(rounded, range(images))]
    assert stands_out(broken)
    assert not stands_out(map(rounded, range(images)))


def test_larger_errors_all_over_one_of_the_images_are_roundings() -> None:
    """As behind the norm of an image that is nearly flat."""
    pairs = [rounded(seed) for seed in range(4)]
    pairs[2] = (pairs[2][0], pairs[2][0] + 20 * (pairs[2][1] - pairs[2][0]))
    assert np.abs(pairs[2][1] - pairs[2][0]).max() > 1e-2
    assert not stands_out(pairs)


def test_a_map_that_is_zero_but_for_a_corner_is_judged_by_that_corner() -> None:
    """Behind a rectifier: rounding leaves zeros alone."""
    expected, got = rounded(0)
    corner = marked(slice(40), slice(60))
    errors = np.where(corner, 10 * (got - expected), 0).astype(np.float32)
    expected = np.where(corner, expected + 2, 0).astype(np.float32)
    assert np.abs(errors).max() > 1e-2 * expected.max()
    assert not stands_out([(expected, expected + errors)])
    errors[:, 20, 20] += 1
    assert stands_out([(expected, expected + errors)])


@pytest.mark.parametrize("shape", [(3, 12, 20), (3, 4, 4000), (5, 3000)], ids=str)
def test_what_is_no_map_of_some_size_is_judged_as_a_whole(shape: tuple[int, ...]) -> None:
    expected = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    errors = 1e-2 * np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert not stands_out([(expected, expected + errors)])
    errors.flat[3] = 5
    assert stands_out([(expected, expected + errors)])
