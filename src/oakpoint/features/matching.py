"""Matching the descriptors of two images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.features.types import Features, Matches
from oakpoint.features.workspace import WORKSPACE
from oakpoint.threads import one_blas_thread


@one_blas_thread()
def match(a: Features, b: Features, *, max_distance: float | None = None, ratio: float | None = None) -> Matches:
    """Mutual nearest neighbours: pairs in which each descriptor is the nearest of the other image to its partner.

    The nearest is the one with the largest dot product, which for unit vectors is the smallest L2 distance. Of equally
    near ones the first is taken. An all-zero descriptor says that the network gave none, and matches nothing.

    Distances are norms of the difference of the two vectors, not √(2 − 2 · dot) as in the original demo: the same
    number for unit vectors, but equal descriptors come out as exactly 0, where the root makes 5e-4 of a rounding error
    of 1e-7.

    Args:
        a: features of the first image, N of them.
        b: features of the second image, M of them, with descriptors of the same length.
        max_distance: pairs farther apart than this are left out, in [0, 2]; the original demo's ``nn_thresh`` is 0.7
            (there a pair at exactly that distance is left out, here it stays). None keeps every mutual pair.
        ratio: Lowe's test, in (0, 1]: a pair stays only if, from either of the two, the partner is nearer than so many
            times the second nearest descriptor of that image. Lowe takes 0.8. Where an image has one descriptor only,
            there is no second, and the test passes. None: no test.

    Returns:
        Matches sorted by the index in ``a``; each keypoint is in one pair at most.

    Raises:
        FeaturesError: descriptors of different length.
        UsageError: a negative or NaN ``max_distance``, or a ``ratio`` out of range.

    Source: ``nn_match_two_way`` in demo_superpoint.py of magicleap/SuperPointPretrainedNetwork; the ratio: Lowe 2004,
    «Distinctive image features from scale-invariant keypoints», section 7.1, there from one side alone.
    """
    if max_distance is not None and not max_distance >= 0:
        raise UsageError(f"max_distance: expected a distance from 0 to 2, got {max_distance}")
    if ratio is not None and not 0 < ratio <= 1:
        raise UsageError(f"ratio: expected a number above 0 and up to 1, got {ratio}")
    if a.descriptors.shape[1] != b.descriptors.shape[1]:
        raise FeaturesError(
            f"match: expected descriptors of one length, got {a.descriptors.shape[1]} and {b.descriptors.shape[1]}; "
            "features of different networks do not match"
        )
    of_a, of_b = _distinct(a.descriptors), _distinct(b.descriptors)
    if not len(of_a) or not len(of_b):
        return Matches(np.zeros((0, 2), np.int64), np.zeros(0, np.float32))
    nearest_in_b, nearest_in_a = _nearest(a.descriptors[of_a], b.descriptors[of_b])
    mutual = np.flatnonzero(nearest_in_a[nearest_in_b] == np.arange(len(of_a)))
    indices = np.stack([of_a[mutual], of_b[nearest_in_b[mutual]]], axis=1)
    distances = np.linalg.norm(a.descriptors[indices[:, 0]] - b.descriptors[indices[:, 1]], axis=1)
    stays = np.ones(len(indices), np.bool_)
    if max_distance is not None:
        stays &= distances <= max_distance
    if ratio is not None:
        stays &= distances < ratio * _second_distances(a.descriptors, b.descriptors, indices)
        stays &= distances < ratio * _second_distances(b.descriptors, a.descriptors, indices[:, ::-1])
    return Matches(indices[stays], distances[stays])


PRODUCTS = 1 << 22
"""So many products of descriptors are made at a time: for 2048 and 2048 keypoints all at once."""

STRIP = 1 << 16
"""So many of them are turned at a time, for the largest of each column: they stay in the processor's cache."""


def _nearest(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each of ``a`` (N, D) the row of ``b`` (M, D) with the largest product, int64 (N,), and the other way (M,)."""
    in_b, in_a = np.empty(len(a), np.int64), np.zeros(len(b), np.int64)
    largest = np.full(len(b), -np.inf, np.float32)
    rows = min(max(PRODUCTS // len(b), 1), len(a))
    products = WORKSPACE.array("products", (rows * len(b),), np.float32)
    for first in range(0, len(a), rows):
        some = a[first : first + rows]
        similarity = np.matmul(some, b.T, out=products[: len(some) * len(b)].reshape(len(some), len(b)))
        similarity.argmax(axis=1, out=in_b[first : first + rows])
        strip = max(STRIP // len(some), 1)
        for left in range(0, len(b), strip):
            part = slice(left, left + strip)
            turned = cv2.transpose(similarity[:, part])  # argmax(axis=0) takes eight times as long
            places = turned.argmax(axis=1)
            found = turned[np.arange(len(turned)), places]
            larger = found > largest[part]
            largest[part][larger] = found[larger]
            in_a[part][larger] = first + places[larger]
    return in_b, in_a


def _second_distances(
    own: NDArray[np.float32], others: NDArray[np.float32], indices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """For each pair (own, other) the distance from its own descriptor to the nearest other one but the partner.

    A descriptor that equals the partner counts: then there is no telling which of the two is meant.
    """
    usable = _usable(others)
    if len(usable) < 2 or not len(indices):
        return np.full(len(indices), np.inf, np.float32)
    similarity = own[indices[:, 0]] @ others[usable].T
    similarity[np.arange(len(indices)), np.searchsorted(usable, indices[:, 1])] = -np.inf
    second = usable[similarity.argmax(axis=1)]
    return np.asarray(np.linalg.norm(own[indices[:, 0]] - others[second], axis=1), np.float32)


def _usable(descriptors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Ascending rows of the descriptors that a network gave."""
    return np.flatnonzero(np.isfinite(descriptors).all(axis=1) & descriptors.any(axis=1))


def _distinct(descriptors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Ascending rows of the usable descriptors, of equal ones the first.

    The others could only tie with it and lose. Left in, they would win now and then: a matrix product may round equal
    columns differently.
    """
    usable = _usable(descriptors)
    if not len(usable):
        return np.zeros(0, np.int64)
    rows = np.ascontiguousarray(descriptors[usable])
    if rows.shape[1] >= BEGINNING:
        beginnings = np.sort(rows[:, :BEGINNING].copy().view(np.uint64).ravel())
        if (beginnings[1:] != beginnings[:-1]).all():
            return usable
    _, first = np.unique(rows.view(f"V{rows.itemsize * rows.shape[1]}").ravel(), return_index=True)
    return np.asarray(usable[np.sort(first)], np.int64)


BEGINNING = 2
"""Rows whose first values differ are different: two float32 are compared as one number, before any whole rows."""
