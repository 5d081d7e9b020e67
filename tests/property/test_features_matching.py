from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.features.matching import match
from oakpoint.features.types import Features


@st.composite
def features(draw: st.DrawFn) -> Features:
    """Descriptors along the axes (many ties, products exact) or in general position."""
    n = draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        descriptors = np.concatenate([np.eye(4), -np.eye(4)])[rng.integers(0, 8, n)]
    else:
        descriptors = rng.normal(size=(n, 4))
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Features(np.zeros((n, 2), np.float32), np.zeros(n, np.float32), descriptors.astype(np.float32), (8, 8))


def by_definition(a: Features, b: Features) -> list[list[int]]:
    products = (a.descriptors.astype(np.float64) @ b.descriptors.T.astype(np.float64)).tolist()
    of_b = [[row[j] for row in products] for j in range(len(b))]

    def is_mutual(i: int, j: int) -> bool:
        return products[i].index(max(products[i])) == j and of_b[j].index(max(of_b[j])) == i

    return [[i, j] for i in range(len(a)) for j in range(len(b)) if is_mutual(i, j)]


@given(features(), features())
def test_it_is_mutual_nearest_neighbours_the_first_of_equal_ones(a: Features, b: Features) -> None:
    assert match(a, b).indices.tolist() == by_definition(a, b)


@given(features(), features(), st.floats(0, 2))
def test_a_largest_distance_only_takes_pairs_away(a: Features, b: Features, max_distance: float) -> None:
    every, near = match(a, b), match(a, b, max_distance=max_distance)
    keep = every.distances <= max_distance
    np.testing.assert_array_equal(near.indices, every.indices[keep])
    assert (every.distances <= 2 + 1e-6).all()
    products = (a.descriptors[every.indices[:, 0]] * b.descriptors[every.indices[:, 1]]).sum(axis=1)
    np.testing.assert_allclose(every.distances, np.sqrt(np.clip(2 - 2 * products, 0, None)), atol=2e-3)


@given(features(), features())
def test_without_ties_the_other_way_round_gives_the_same_pairs(a: Features, b: Features) -> None:
    if len(np.unique(a.descriptors @ b.descriptors.T)) == len(a) * len(b):
        assert sorted(match(b, a).indices[:, ::-1].tolist()) == match(a, b).indices.tolist()


@given(features(), features(), st.floats(0.05, 1))
def test_a_ratio_only_takes_pairs_away_and_prefers_no_image(a: Features, b: Features, ratio: float) -> None:
    every, kept = match(a, b), match(a, b, ratio=ratio)
    assert {tuple(pair) for pair in kept.indices.tolist()} <= {tuple(pair) for pair in every.indices.tolist()}
    turned = match(b, a, ratio=ratio).indices[:, ::-1].tolist()
    assert sorted(turned) == sorted(kept.indices.tolist()) or _has_ties(a, b)


def _has_ties(a: Features, b: Features) -> bool:
    """Whether an equally near descriptor could be taken, or one that occurs twice."""
    return any(len(np.unique(found.descriptors, axis=0)) < len(found) for found in (a, b)) or bool(
        len(a) and len(b) and len(np.unique(a.descriptors @ b.descriptors.T)) < len(a) * len(b)
    )
