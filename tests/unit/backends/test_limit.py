from __future__ import annotations

import pytest

from oakpoint.backends import limit
from oakpoint.backends.limit import MemoryLimit
from oakpoint.errors import UsageError

GB = 1_000_000_000


def bytes_of(size: tuple[int, int]) -> int:
    return 500 * size[0] * size[1]  # 4000×3000 px: 6 GB


def test_what_fits_is_not_refused():
    assert MemoryLimit(bytes_of, 6.0).refusal((4000, 3000), native=True) is None
    assert MemoryLimit(lambda _: None, 0.001).refusal((4000, 3000), native=True) is None


def test_what_does_not_fit_is_refused_with_the_size_that_does():
    reason = MemoryLimit(bytes_of, 3.0).refusal((4000, 3000), native=True)
    assert reason == (
        "4000×3000 px take the network about 6.0 GB of memory, and 3.0 GB are allowed; scale images down with "
        "--max-side 2680 (in Python max_side=2680), or allow it with --max-memory 6.6 (max_memory_gb=6.6)"
    )
    assert bytes_of((2680, 2010)) < 3 * GB
    assert MemoryLimit(bytes_of, 6.6).refusal((4000, 3000), native=True) is None  # as advised


def test_of_a_size_that_was_asked_for_a_smaller_one_is_advised():
    reason = MemoryLimit(bytes_of, 3.0).refusal((4000, 3000), native=False)
    assert reason is not None
    assert "; choose a smaller size, or allow it" in reason


def test_the_default_is_what_is_free(monkeypatch):
    monkeypatch.setattr(limit, "available_bytes", lambda: 2 * GB)
    reason = MemoryLimit(bytes_of).refusal((4000, 3000), native=True)
    assert reason is not None
    assert "and 2.0 GB are free" in reason
    monkeypatch.setattr(limit, "available_bytes", lambda: None)  # nobody says: nothing can be refused
    assert MemoryLimit(bytes_of).refusal((4000, 3000), native=True) is None


@pytest.mark.parametrize("stated", [0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none(stated):
    with pytest.raises(UsageError, match="max_memory_gb: expected a positive number of GB, got"):
        MemoryLimit(bytes_of, stated)
