from __future__ import annotations

import numpy as np
import pytest

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.features.tracking import Tracker, Tracks
from oakpoint.features.types import Features

POINTS = np.eye(16, dtype=np.float32)
"""Sixteen things to see: the descriptors of two are √2 apart."""


def frame(**seen: tuple[float, float]) -> Features:
    """A frame in which thing number n is seen at (x, y): ``frame(n3=(5, 7))``."""
    numbers = [int(name[1:]) for name in seen]
    n = len(numbers)
    positions = np.array(list(seen.values()), np.float32).reshape(n, 2)
    return Features(positions, np.full(n, 0.5, np.float32), POINTS[numbers], (64, 48))


def tracker(length: int = 4) -> Tracker:
    return Tracker(max_length=length, max_distance=0.7)


def test_ids_follow_things_and_not_rows() -> None:
    follow = tracker()
    assert follow.update(frame(n0=(1, 1), n1=(2, 2), n2=(3, 3))).ids.tolist() == [0, 1, 2]
    assert follow.update(frame(n2=(3, 4), n0=(1, 2), n5=(9, 9))).ids.tolist() == [2, 0, 3]
    third = follow.update(frame(n5=(9, 8), n1=(2, 2), n2=(3, 5)))
    assert third.ids.tolist() == [3, 4, 2], "a thing that was away for a frame is a new track"
    assert third.ages.tolist() == [2, 1, 3]


def test_ids_are_never_used_twice() -> None:
    follow = tracker()
    seen: list[int] = []
    for number in range(16):
        seen += follow.update(frame(**{f"n{number}": (0, 0)})).ids.tolist()
    assert seen == list(range(16))


def test_the_last_positions_are_remembered_oldest_first() -> None:
    follow = tracker(length=3)
    for x in range(4):
        tracks = follow.update(frame(n0=(x, 10)))
    tracks = follow.update(frame(n1=(7, 7), n0=(4, 10)))
    nan = np.nan
    np.testing.assert_array_equal(tracks.positions, [[[nan, nan], [nan, nan], [7, 7]], [[2, 10], [3, 10], [4, 10]]])
    assert tracks.ages.tolist() == [1, 5]
    assert [line.tolist() for line in tracks.polylines()] == [[[7, 7]], [[2, 10], [3, 10], [4, 10]]]


def test_a_track_younger_than_the_memory_has_a_shorter_line() -> None:
    follow = tracker(length=5)
    follow.update(frame(n0=(1, 2)))
    assert [line.tolist() for line in follow.update(frame(n0=(3, 4))).polylines()] == [[[1, 2], [3, 4]]]


def test_a_descriptor_that_changes_too_much_starts_a_new_track() -> None:
    turned = np.zeros((1, 16), np.float32)
    turned[0, :2] = 0.6, 0.8  # 0.894 from the first thing
    seen = Features(np.zeros((1, 2), np.float32), np.ones(1, np.float32), turned, (64, 48))
    for max_distance, expected in ((0.7, [1]), (0.9, [0])):
        follow = Tracker(max_length=2, max_distance=max_distance)
        follow.update(frame(n0=(0, 0)))
        assert follow.update(seen).ids.tolist() == expected


def test_distances_and_their_running_mean() -> None:
    follow = Tracker(max_length=3, max_distance=2)
    angles = np.cumsum([0, 0.1, 0.3, 0.2, 0.4])
    steps = 2 * np.sin(np.diff(angles) / 2)
    tracks: list[Tracks] = []
    for angle in angles:
        descriptor = np.zeros((1, 16), np.float32)
        descriptor[0, :2] = np.cos(angle), np.sin(angle)
        seen = Features(np.zeros((1, 2), np.float32), np.ones(1, np.float32), descriptor, (64, 48))
        tracks.append(follow.update(seen))
    assert np.isnan(tracks[0].distances).all()
    assert np.isnan(tracks[0].mean_distances).all()
    np.testing.assert_allclose([t.distances[0] for t in tracks[1:]], steps, rtol=1e-5)
    # The original divides by the observations in its memory: 1, 2, and then always L − 1 = 2.
    means = [steps[0], (steps[0] + steps[1]) / 2]
    means += [(means[-1] + steps[2]) / 2]
    means += [(means[-1] + steps[3]) / 2]
    np.testing.assert_allclose([t.mean_distances[0] for t in tracks[1:]], means, rtol=1e-5)


def test_a_frame_without_keypoints_ends_all_tracks() -> None:
    follow = tracker()
    follow.update(frame(n0=(1, 1)))
    empty = follow.update(frame())
    assert len(empty) == 0
    assert empty.positions.shape == (0, 4, 2)
    assert empty.polylines() == []
    assert follow.update(frame(n0=(1, 1))).ids.tolist() == [1]


def test_an_earlier_frame_is_not_changed_by_a_later_one() -> None:
    follow = tracker()
    first = follow.update(frame(n0=(1, 1)))
    follow.update(frame(n0=(2, 2)))
    assert first.ages.tolist() == [1]
    np.testing.assert_array_equal(first.positions[0, -1], [1, 1])
    with pytest.raises(ValueError, match="read-only"):
        first.ids[0] = 9


def test_descriptors_of_other_length_are_refused_and_leave_the_tracker_as_it_was() -> None:
    follow = tracker()
    follow.update(frame(n0=(1, 1)))
    other = Features(np.zeros((1, 2), np.float32), np.ones(1, np.float32), np.ones((1, 4), np.float32) / 2, (64, 48))
    with pytest.raises(FeaturesError, match="got 16 and 4"):
        follow.update(other)
    assert follow.update(frame(n0=(2, 1), n1=(5, 5))).ids.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("length", "distance", "said"), [(1, 0.7, "max_length"), (5, -1, "max_distance"), (5, float("nan"), "max_distance")]
)
def test_impossible_settings_are_refused(length: int, distance: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Tracker(max_length=length, max_distance=distance)


def test_misshapen_tracks_are_refused() -> None:
    n = np.zeros(2, np.int64)
    d = np.zeros(2, np.float32)
    with pytest.raises(FeaturesError, match=r"positions \(N, L, 2\)"):
        Tracks(n, n, d, d, np.zeros((2, 5), np.float32))
    with pytest.raises(FeaturesError, match="two int64"):
        Tracks(n, n, d, d, np.zeros((2, 5, 2), np.float64))
