"""The bound of the cache: what goes, what stays, and what is not kept."""

from __future__ import annotations

import os

import numpy as np
import pytest

from oakpoint.errors import UsageError
from oakpoint.evaluate.cache import FeatureCache
from oakpoint.evaluate.timing import Timed
from oakpoint.features.types import Features

ROUND_GB = 25e-6
"""Room for two of the files that ``timed`` makes, and no third: each takes some 12 kB."""


def timed(n=100):
    points, scores = np.zeros((n, 2), np.float32), np.linspace(1, 0, n, dtype=np.float32)
    return Timed(Features(points, scores, np.zeros((n, 22), np.float32), (10, 10)), 1.0, "x")


def key(name):
    return f"{name}{name}{'0' * 62}"


def kept(folder):
    return {path.stem[0] for path in folder.rglob("*.npz")}


def test_what_was_unused_longest_goes_first(tmp_path):
    for age, name in enumerate("cba"):
        FeatureCache(tmp_path).put(key(name), timed())
        (path,) = tmp_path.glob(f"{name}{name}/*")
        os.utime(path, (1000 - 10 * age, 1000 - 10 * age))  # a is the oldest
    cache = FeatureCache(tmp_path, limit_gb=ROUND_GB)
    assert cache.get(key("a")) is not None  # which is a use
    cache.put(key("d"), timed())
    assert kept(tmp_path) == {"a", "d"}
    assert (cache.deleted, cache.left_out) == (2, 0)


def test_the_bound_holds(tmp_path):
    for name in "abcdefgh":
        cache = FeatureCache(tmp_path, limit_gb=ROUND_GB)
        cache.put(key(name), timed())
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.npz")) <= 1e9 * ROUND_GB
    assert kept(tmp_path) >= {"h"}


def test_of_what_is_larger_than_the_bound_the_first_part_is_found_again(tmp_path):
    """Where the last part took its place, the next run in the same order would find nothing."""
    for run in range(3):
        cache = FeatureCache(tmp_path, limit_gb=ROUND_GB)
        for name in "abcde":
            if cache.get(key(name)) is None:
                cache.put(key(name), timed())
        assert kept(tmp_path) == {"a", "b"}
        assert (cache.found, cache.left_out, cache.deleted) == ((0, 3, 0) if run == 0 else (2, 3, 0))


def test_what_another_process_used_or_deleted_meanwhile(tmp_path):
    for age, name in enumerate("ba"):
        FeatureCache(tmp_path).put(key(name), timed())
        (path,) = tmp_path.glob(f"{name}{name}/*")
        os.utime(path, (1000 - 10 * age, 1000 - 10 * age))
    cache = FeatureCache(tmp_path, limit_gb=4e-5)
    cache.put(key("c"), timed())  # all three have room, and the folder has been looked through
    assert FeatureCache(tmp_path).get(key("a")) is not None
    cache.put(key("d"), timed())
    assert kept(tmp_path) == {"a", "c", "d"}
    (path,) = tmp_path.glob("aa/*")
    path.unlink()
    assert cache.get(key("a")) is None


def test_what_is_larger_than_the_bound_is_not_kept(tmp_path):
    cache = FeatureCache(tmp_path, limit_gb=1e-6)
    cache.put(key("a"), timed())
    assert (kept(tmp_path), cache.left_out) == (set(), 1)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_no_bound_at_all(tmp_path, limit):
    with pytest.raises(UsageError, match="max-cache: expected a positive number of GB"):
        FeatureCache(tmp_path, limit_gb=limit)
