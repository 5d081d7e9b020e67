from __future__ import annotations

import pytest

from oakpoint.finite import finite_or_none


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (0.0, 0.0), (None, None), (float("nan"), None), (float("inf"), None), (float("-inf"), None)],
)
def test_only_what_json_has(value, expected):
    assert finite_or_none(value) == expected
