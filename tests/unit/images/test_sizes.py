from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.images.sizes import size_from, size_or_native


@pytest.mark.parametrize(
    "given",
    [(320, 240), [320, 240], np.array([320, 240]), (np.int64(320), np.uint8(240)), "320x240", "320X240", "320×240"],
)
def test_what_means_one_size(given):
    size = size_from(given)
    assert size == (320, 240)
    assert type(size) is tuple
    assert [type(side) for side in size] == [int, int]
    assert size_or_native(given) == size


@pytest.mark.parametrize(
    "given",
    [640, 640.0, (320,), (320, 240, 3), (320.0, 240.0), (True, 8), "320", "320x", "-8x8", "320 x 240", "", "Native",
     np.array(320), np.array([[320, 240]]), {320, 240}, None, (None, 240)],
)  # fmt: skip
def test_what_does_not(given):
    with pytest.raises(UsageError, match=r"size: expected (\(width, height\)|WIDTHxHEIGHT).*, got") as raised:
        size_from(given)
    assert "\n" not in str(raised.value)


def test_native_and_nothing():
    assert size_or_native("native") == "native"
    assert size_or_native(None) is None
