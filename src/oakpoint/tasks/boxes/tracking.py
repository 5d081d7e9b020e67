"""Following boxes through the frames of a video by how far they overlap."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.tasks.boxes.overlap import pairs_of_boxes
from oakpoint.tasks.boxes.result import Boxes

LEAST_IOU = 0.3
"""Of a box and its track's last one (Bewley et al. 2016, arXiv 1602.00763, section 3.3)."""

MISSED_FRAMES = 5
"""A track that is not seen in more frames than this one after the other ends."""


@dataclass(frozen=True, slots=True, eq=False)
class BoxTracks:
    """What is known of each box of one frame, row for row with its ``Boxes``.

    Attributes:
        ids: int64 (N,), the track's number; a number never stands for another track.
        ages: int64 (N,), in how many frames the track was seen, 1 for a new one.
        positions: float32 (N, L, 2), the last L centres (x, y) of the track in pixels, oldest first, the present one
            last; NaN before the track began.
    """

    ids: NDArray[np.int64]
    ages: NDArray[np.int64]
    positions: NDArray[np.float32]


@dataclass(slots=True)
class _Track:
    id: int
    box_class: int
    corners: NDArray[np.float32]
    centres: list[NDArray[np.float32]]
    age: int = 1
    missed: int = 0


@final
class BoxTracker:
    """Gives boxes of successive frames the same id as long as they overlap.

    Pairs of a track and a box of the same class are taken in the order of their overlap, the largest first. This is
    SORT's association without its motion model, greedy in place of optimal.

    Args:
        max_length: L, how many centres of a track are remembered, 2 or more.
        least_iou: smallest overlap of a box with its track's last one, in (0, 1].
        missed_frames: see ``MISSED_FRAMES``.

    Raises:
        UsageError: a value out of range.
    """

    def __init__(
        self, *, max_length: int = 20, least_iou: float = LEAST_IOU, missed_frames: int = MISSED_FRAMES
    ) -> None:
        if max_length < 2:
            raise UsageError(f"track length: expected 2 or more, got {max_length}")
        if not 0 < least_iou <= 1:
            raise UsageError(f"least IoU of a track: expected more than 0 and at most 1, got {least_iou}")
        self._max_length, self._least_iou, self._missed_frames = max_length, least_iou, missed_frames
        self._tracks: list[_Track] = []
        self._next_id = 0

    def update(self, result: Boxes) -> BoxTracks:
        """Take the next frame's boxes, N of them; the tracks are row for row with them."""
        matched = self._matched(result)
        centres = (result.corners[:, :2] + result.corners[:, 2:]) / 2
        of_row = [self._continued(matched.get(row), result, row, centres[row]) for row in range(len(result))]
        seen = {track.id for track in of_row}
        for track in self._tracks:
            track.missed = 0 if track.id in seen else track.missed + 1
        self._tracks = [track for track in self._tracks if track.missed <= self._missed_frames]
        positions = np.full((len(result), self._max_length, 2), np.nan, np.float32)
        for row, track in enumerate(of_row):
            positions[row, -len(track.centres) :] = track.centres
        ids, ages = (np.array([getattr(t, name) for t in of_row], np.int64) for name in ("id", "age"))
        return BoxTracks(ids, ages, positions)

    def snapshot(self) -> BoxTracker:
        """A tracker that goes on from here by itself."""
        taken = copy.copy(self)
        taken._tracks = [replace(track) for track in self._tracks]
        return taken

    def _matched(self, result: Boxes) -> dict[int, _Track]:
        """The track of each row that continues one."""
        if not self._tracks:
            return {}
        corners = np.stack([track.corners for track in self._tracks])
        classes = np.array([track.box_class for track in self._tracks])
        pairs = pairs_of_boxes(corners, classes, result.corners, result.classes, self._least_iou)
        return {row: self._tracks[i] for i, row, _ in pairs}

    def _continued(self, track: _Track | None, result: Boxes, row: int, centre: NDArray[np.float32]) -> _Track:
        if track is None:
            track = _Track(self._next_id, int(result.classes[row]), result.corners[row], [centre])
            self._next_id += 1
            self._tracks.append(track)
            return track
        track.corners, track.age = result.corners[row], track.age + 1
        track.centres = [*track.centres, centre][-self._max_length :]
        return track
