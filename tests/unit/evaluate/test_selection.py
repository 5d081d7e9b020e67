from __future__ import annotations

import numpy as np

from oakpoint.evaluate.selection import best, in_shared_area, thinned
from oakpoint.features.types import Features


def features(points, scores, size=(100, 80)) -> Features:
    n = len(points)
    return Features(
        np.array(points, np.float32).reshape(n, 2),
        np.array(scores, np.float32),
        np.arange(n, dtype=np.float32).reshape(n, 1),
        size,
    )


def test_thinning_keeps_the_stronger_of_two_near_ones():
    crowd = features([(10, 10), (14, 14), (15, 10), (10, 15)], [0.5, 0.9, 0.4, 0.3])
    kept = thinned(
        crowd, 4
    )  # (14, 14) removes what is within 4 px along both axes: (10, 10) and (15, 10)… and (10, 15)
    assert kept.keypoints.tolist() == [[14, 14]]
    assert len(thinned(crowd, 3)) == 4
    assert len(thinned(features([(1, 1), (1, 1)], [0.1, 0.2]), 0)) == 1
    assert len(thinned(features([], []), 4)) == 0


def test_ties_go_by_position_only_when_asked():
    tied = features([(3, 0), (1, 5), (1, 2)], [0.5, 0.5, 0.5])
    assert best(tied, 2, fixed_ties=False).keypoints.tolist() == [[3, 0], [1, 5]]
    assert best(tied, 2, fixed_ties=True).keypoints.tolist() == [[1, 2], [1, 5]]
    assert best(tied, 9, fixed_ties=True).descriptors.ravel().tolist() == [2, 1, 0]


def test_the_shared_area_ends_at_pixel_centres_or_at_edges():
    at_the_rim = features([(-0.4, 0), (0, 0), (99.4, 79.4), (99.6, 0), (100, 0)], [1] * 5)
    published = in_shared_area(at_the_rim, np.eye(3), (100, 80), to_edges=False)
    assert published.tolist() == [False, True, True, True, False]
    exact = in_shared_area(at_the_rim, np.eye(3), (100, 80), to_edges=True)
    assert exact.tolist() == [True, True, True, False, False]
    shifted = in_shared_area(at_the_rim, np.array([[1.0, 0, 0.5], [0, 1, 0], [0, 0, 1]]), (100, 80), to_edges=False)
    assert shifted.tolist() == [True, True, True, False, False]
