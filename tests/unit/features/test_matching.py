from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.features.matching import match
from oakpoint.features.types import Features


def features_of(descriptors: object) -> Features:
    array = np.array(descriptors, np.float32)
    n = len(array)
    return Features(np.zeros((n, 2), np.float32), np.zeros(n, np.float32), array, (64, 48))


def unit(rng: np.random.Generator, n: int, d: int = 64) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_a_shuffled_copy_is_found_again_at_distance_zero(rng: np.random.Generator) -> None:
    a = unit(rng, 500, 256)
    order = rng.permutation(500)
    matches = match(features_of(a), features_of(a[order]))
    np.testing.assert_array_equal(matches.indices[:, 0], np.arange(500))
    np.testing.assert_array_equal(order[matches.indices[:, 1]], np.arange(500))
    assert not matches.distances.any()


def test_only_mutual_neighbours_match() -> None:
    a = features_of([[1, 0], [0.8, 0.6]])
    b = features_of([[1, 0]])  # nearest to both, and its own nearest is the first
    assert match(a, b).indices.tolist() == [[0, 0]]


def test_distances_are_l2() -> None:
    matches = match(features_of([[1, 0]]), features_of([[0.6, 0.8]]))
    np.testing.assert_allclose(matches.distances, [np.sqrt(2 - 2 * 0.6)], rtol=1e-6)


def test_a_pair_at_the_largest_distance_stays() -> None:
    a, b = features_of([[1, 0], [0, 1]]), features_of([[0.6, 0.8], [1, 0]])
    distance = float(match(a, b).distances[1])
    assert match(a, b, max_distance=distance).indices.tolist() == [[0, 1], [1, 0]]
    assert match(a, b, max_distance=float(np.nextafter(np.float32(distance), 0))).indices.tolist() == [[0, 1]]
    assert match(a, b, max_distance=0).indices.tolist() == [[0, 1]]


def test_of_equal_descriptors_the_first_matches(rng: np.random.Generator) -> None:
    distinct = unit(rng, 37)
    a = np.concatenate([distinct] * 3)
    b = np.concatenate([distinct[::-1]] * 5)
    matches = match(features_of(a), features_of(b))
    assert matches.indices.tolist() == [[i, 36 - i] for i in range(37)]


def test_a_zero_or_broken_descriptor_matches_nothing() -> None:
    a = features_of([[0, 0], [np.nan, 1], [1, 0], [np.inf, 0]])
    b = features_of([[0, 0], [-1, 0], [np.nan, 1]])
    assert match(a, b).indices.tolist() == [[2, 1]]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_match_gives_valid_empty_matches(rng: np.random.Generator, n: int, m: int) -> None:
    matches = match(features_of(unit(rng, n)), features_of(unit(rng, m)), max_distance=0.7)
    assert matches.indices.shape == (0, 2)
    assert matches.distances.shape == (0,)


def test_descriptors_of_other_length_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(FeaturesError, match="got 64 and 32"):
        match(features_of(unit(rng, 3, 64)), features_of(unit(rng, 3, 32)))


@pytest.mark.parametrize("distance", [-0.1, float("nan")])
def test_an_impossible_distance_is_refused(rng: np.random.Generator, distance: float) -> None:
    some = features_of(unit(rng, 3))
    with pytest.raises(UsageError, match="max_distance"):
        match(some, some, max_distance=distance)


def test_a_ratio_leaves_out_what_is_not_clear() -> None:
    a = features_of([[1, 0]])
    b = features_of([[0.96, 0.28], [0.8, -0.6]])  # at 0.283 and 0.632: a ratio of 0.447
    assert len(match(a, b, ratio=0.5)) == 1
    assert len(match(a, b, ratio=0.4)) == 0
    assert len(match(b, a, ratio=0.4)) == 0  # from either side


def test_a_ratio_leaves_out_a_descriptor_that_occurs_twice() -> None:
    a, b = features_of([[1, 0], [0, 1]]), features_of([[1, 0], [1, 0], [0, 1]])
    assert match(a, b).indices.tolist() == [[0, 0], [1, 2]]
    assert match(a, b, ratio=1).indices.tolist() == [[1, 2]]


def test_a_single_descriptor_has_no_second() -> None:
    assert len(match(features_of([[1, 0]]), features_of([[0, 1]]), ratio=0.1)) == 1


@pytest.mark.parametrize("ratio", [0, -1, 1.5, float("nan")])
def test_a_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(UsageError, match="ratio: expected"):
        match(features_of([[1, 0]]), features_of([[1, 0]]), ratio=ratio)
