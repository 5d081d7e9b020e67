"""Following keypoints through the frames of a video."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import FeaturesError, UsageError
from oakpoint.features.matching import match
from oakpoint.features.types import Features


@dataclass(frozen=True, slots=True)
class Tracks:
    """What is known of each keypoint of one frame, row for row with its ``Features``.

    Attributes:
        ids: int64 (N,), the track's number; a number never stands for another track, in this frame or a later one.
        ages: int64 (N,), in how many successive frames the track was seen, 1 for a new one.
        distances: float32 (N,), descriptor distance to the frame before, in [0, 2]; NaN for a new track.
        mean_distances: float32 (N,), its running mean along the track, in [0, 2]; NaN for a new track. The original
            demo colours tracks by it.
        positions: float32 (N, L, 2), the last L keypoints (x, y) of the track in pixels, oldest first, the present one
            last; NaN before the track began.

    Raises:
        FeaturesError: a wrong shape or type, or lengths that differ.
    """

    ids: NDArray[np.int64]
    ages: NDArray[np.int64]
    distances: NDArray[np.float32]
    mean_distances: NDArray[np.float32]
    positions: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.ids)
        flat = (self.ids, self.ages, self.distances, self.mean_distances)
        if any(array.shape != (n,) for array in flat) or self.positions.shape != (n, *self.positions.shape[1:2], 2):
            shapes = ", ".join(str(array.shape) for array in (*flat, self.positions))
            raise FeaturesError(f"tracks: expected four arrays (N,) and positions (N, L, 2), got {shapes}")
        types = " ".join(str(array.dtype) for array in (*flat, self.positions))
        if types != "int64 int64 float32 float32 float32":
            raise FeaturesError(f"tracks: expected two int64 and three float32 arrays, got {types}")

    def __len__(self) -> int:
        return len(self.ids)

    def polylines(self) -> list[NDArray[np.float32]]:
        """For each keypoint the line it came along: float32 (k, 2), oldest first, 1 <= k <= L, in pixels."""
        length = self.positions.shape[1]
        return [line[-min(age, length) :] for line, age in zip(self.positions, self.ages.tolist(), strict=True)]


@final
class Tracker:
    """Gives keypoints of successive frames the same id as long as their descriptors agree.

    A track goes on when its descriptor in the frame before and one in this frame are mutual nearest neighbours within
    ``max_distance``; a keypoint that continues none starts a track with the next id, and a track that is not continued
    ends. Only the frame before is matched; the last ``max_length`` positions are remembered for drawing.

    This is the original demo's ``PointTracker``, with three differences. It gives tracks by the keypoints of the
    present frame, and so leaves out the ended ones that the original remembers but never draws. A frame without
    keypoints ends all tracks; the original skips such a frame when nothing passed the threshold, but not when the
    border took the last point. A pair at exactly ``max_distance`` matches.

    Args:
        max_length: L, how many positions of a track are remembered, 2 or more (original demo: ``--max_length 5``).
        max_distance: largest descriptor distance from frame to frame, in [0, 2] (original demo: ``--nn_thresh 0.7``).

    Raises:
        UsageError: a value out of range.

    Source: demo_superpoint.py (``PointTracker``) of magicleap/SuperPointPretrainedNetwork.
    """

    def __init__(self, *, max_length: int, max_distance: float) -> None:
        if max_length < 2:
            raise UsageError(f"max_length: expected 2 or more frames, got {max_length}")
        if not max_distance >= 0:
            raise UsageError(f"max_distance: expected a distance from 0 to 2, got {max_distance}")
        self._max_length = max_length
        self._max_distance = max_distance
        self._next_id = 0
        self._last: tuple[Features, Tracks] | None = None

    def update(self, features: Features) -> Tracks:
        """Take the next frame's features, N of them.

        Returns:
            Tracks, row for row with ``features``.

        Raises:
            FeaturesError: descriptors of another length than in the frame before.
        """
        tracks = self._started(features)
        if self._last is not None:
            before, known = self._last
            pairs = match(before, features, max_distance=self._max_distance)
            self._continue(tracks, known, pairs.indices[:, 0], pairs.indices[:, 1], pairs.distances)
        new = tracks.ids < 0
        started = int(np.count_nonzero(new))
        tracks.ids[new] = self._next_id + np.arange(started)
        self._next_id += started
        self._last = features, tracks
        for array in (tracks.ids, tracks.ages, tracks.distances, tracks.mean_distances, tracks.positions):
            array.flags.writeable = False
        return tracks

    def snapshot(self) -> Tracker:
        """A tracker that goes on from here by itself: what is remembered of a frame is never changed."""
        return copy.copy(self)

    def _started(self, features: Features) -> Tracks:
        """Every keypoint a track of its own that has no id yet (−1)."""
        n = len(features)
        unknown = np.full(n, np.nan, np.float32)
        positions = np.full((n, self._max_length, 2), np.nan, np.float32)
        positions[:, -1] = features.keypoints
        return Tracks(np.full(n, -1, np.int64), np.ones(n, np.int64), unknown, unknown.copy(), positions)

    def _continue(
        self,
        tracks: Tracks,
        known: Tracks,
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        distances: NDArray[np.float32],
    ) -> None:
        """Let rows ``target`` of ``tracks`` go on from rows ``source`` of ``known``."""
        tracks.ids[target] = known.ids[source]
        tracks.ages[target] = known.ages[source] + 1
        tracks.distances[target] = distances
        tracks.positions[target, :-1] = known.positions[source, 1:]
        # The original's running mean: a plain one while the track is no longer than L, then one that forgets.
        share = 1 / (np.minimum(tracks.ages[target], self._max_length) - 1)
        mean = known.mean_distances[source]
        updated = np.where(np.isnan(mean), distances, (1 - share) * mean + share * distances)
        tracks.mean_distances[target] = updated.astype(np.float32)
