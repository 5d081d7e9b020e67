"""The tracker against one that is written for reading: a dictionary of lists, one keypoint after another."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from oakpoint.features.matching import match
from oakpoint.features.tracking import Tracker
from oakpoint.features.types import Features

L, MAX_DISTANCE = 4, 0.7


@st.composite
def videos(draw: st.DrawFn) -> list[Features]:
    """Frames that show some of eight things, in any order, each a little changed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = []
    for seen in draw(st.lists(st.permutations(range(8)), min_size=1, max_size=8)):
        shown = seen[: draw(st.integers(0, 8))]
        descriptors = np.eye(8)[shown] + rng.normal(0, 0.15, (len(shown), 8))
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        keypoints = rng.uniform(0, 60, (len(shown), 2)).astype(np.float32)
        scores = np.ones(len(shown), np.float32)
        frames.append(Features(keypoints, scores, descriptors.astype(np.float32), (64, 64)))
    return frames


@settings(max_examples=50)
@given(videos())
def test_tracks_are_those_of_a_plain_tracker(frames: list[Features]) -> None:
    tracker = Tracker(max_length=L, max_distance=MAX_DISTANCE)
    before: Features | None = None
    id_of_row: dict[int, int] = {}
    history: dict[int, list[list[float]]] = {}
    for features in frames:
        tracks = tracker.update(features)
        pairs = [] if before is None else match(before, features, max_distance=MAX_DISTANCE).indices.tolist()
        continued = {row: id_of_row[old] for old, row in pairs}
        id_of_row = {}
        for row, position in enumerate(features.keypoints.tolist()):
            id_of_row[row] = continued[row] if row in continued else len(history)
            history.setdefault(id_of_row[row], []).append(position)
        lines = [history[id_of_row[row]] for row in range(len(features))]
        assert tracks.ids.tolist() == list(id_of_row.values())
        assert tracks.ages.tolist() == [len(line) for line in lines]
        assert [line.tolist() for line in tracks.polylines()] == [line[-L:] for line in lines]
        assert np.isnan(tracks.distances).tolist() == [row not in continued for row in range(len(features))]
        before = features
