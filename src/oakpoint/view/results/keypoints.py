"""Keypoints and their tracks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.features.tracking import Tracker, Tracks
from oakpoint.features.types import Features
from oakpoint.view.draw import draw_keypoints, draw_tracks
from oakpoint.view.results.base import Column, FollowOptions, MarkKind, ResultView, Summary, TrackCounts, track_columns

MOST_MARKS = 2000
"""More dots than these on a page would hide each other, and the image."""

_SHAPES: dict[MarkKind, str] = {
    "found": "h0",
    "missing": "m-{0:.1f}-{0:.1f}l{1:.1f} {1:.1f}m0-{1:.1f}l-{1:.1f} {1:.1f}",
    "extra": "m0-{0:.1f}l{0:.1f} {0:.1f}l-{0:.1f} {0:.1f}l-{0:.1f}-{0:.1f}z",
}
"""What stands around a keypoint, for a size in pixels: a dot of the line's width, a cross, a diamond."""


@final
class KeypointsSummary(Summary[Features]):
    """Means over frames."""

    def __init__(self) -> None:
        self._keypoints = 0
        self._tracks = TrackCounts()

    def add(self, result: Features, tracks: Tracks | None) -> None:
        """See ``Summary.add``."""
        self._keypoints += len(result)
        if tracks is not None:
            self._tracks.add(tracks.ages)

    def facts(self, frames: int) -> dict[str, Any]:
        """See ``Summary.facts``."""
        found: dict[str, Any] = {"keypoints_mean": self._keypoints / max(frames, 1)}
        return found | self._tracks.facts(frames)


@final
class KeypointsView(ResultView[Features]):
    """Dots, and the lines that they came along."""

    name = "keypoints"
    doing = "extract+track"

    def follower(self, options: FollowOptions) -> Tracker:
        """See ``ResultView.follower``."""
        return Tracker(max_length=options.max_length, max_distance=options.max_distance)

    def summary(self) -> KeypointsSummary:
        """See ``ResultView.summary``."""
        return KeypointsSummary()

    def still(self, image: NDArray[np.uint8], result: Features) -> NDArray[np.uint8]:
        """See ``ResultView.still``."""
        return draw_keypoints(image, result)

    def marks(self, result: Features, kind: MarkKind) -> str:
        """See ``ResultView.marks``: one path, a dot, a cross or a diamond for each keypoint, the best of them."""
        if not len(result):
            return ""
        size_px = 0.01 * max(result.image_size)
        shape = _SHAPES[kind].format(size_px, 2 * size_px)
        places = (f"M{x:.1f} {y:.1f}{shape}" for x, y in result.keypoints[:MOST_MARKS].tolist())
        return f'<path class="mark {kind}" d="{"".join(places)}"/>'

    def moving(self, image: NDArray[np.uint8], result: Features, tracks: Tracks) -> NDArray[np.uint8]:
        """See ``ResultView.moving``."""
        del result
        return draw_tracks(image, tracks.positions, tracks.ages)

    def figures(self, result: Features, tracks: Tracks | None) -> list[str]:
        """See ``ResultView.figures``."""
        continued = [] if tracks is None else [f"{int((tracks.ages > 1).sum())} tracks"]
        return [result.figure(), *continued]

    def facts(self, result: Features, tracks: Tracks | None) -> dict[str, Any]:
        """See ``ResultView.facts``."""
        return result.facts() | ({} if tracks is None else {"tracks": tracks.ids.tolist()})

    def columns(self, result: Features, tracks: Tracks | None, *, descriptors: bool = False) -> dict[str, Column]:
        """See ``ResultView.columns``."""
        followed = track_columns(tracks, len(result))
        x, y = result.keypoints.T
        found = {"id": followed["id"], "x": x, "y": y, "score": result.scores, "age": followed["age"]}
        any_there = descriptors and result.descriptors.shape[1] > 0
        return found | ({"descriptor": result.descriptors} if any_there else {})

    def words(self, facts: Mapping[str, Any]) -> list[str]:
        """See ``ResultView.words``."""
        followed = "tracks_mean_per_frame" in facts
        tracked = [f"{facts['tracks_mean_per_frame']:.0f} of them tracked"] if followed else []
        return [f"{facts['keypoints_mean']:.0f} keypoints a frame", *tracked]
