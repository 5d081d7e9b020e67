"""Boxes and their tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, final
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.tracking import BoxTracker, BoxTracks
from oakpoint.view.draw import bgr_from_image
from oakpoint.view.results.base import (
    Column,
    FollowOptions,
    MarkKind,
    ResultView,
    Summary,
    TrackCounts,
    text_column,
    track_columns,
)
from oakpoint.view.results.colours import class_colour, put_label

_SHIFT = 4  # OpenCV's fixed-point coordinates: this many bits below one pixel
_LABELLED = 40  # texts beyond the best boxes would hide them


@final
class BoxesSummary(Summary[Boxes]):
    """Means over frames."""

    def __init__(self) -> None:
        self._boxes = 0
        self._classes: Counter[str] = Counter()
        self._tracks = TrackCounts()

    def add(self, result: Boxes, tracks: BoxTracks | None) -> None:
        """See ``Summary.add``."""
        self._boxes += len(result)
        self._classes.update(result.names())
        if tracks is not None:
            self._tracks.add(tracks.ages)

    def facts(self, frames: int) -> dict[str, Any]:
        """See ``Summary.facts``."""
        found: dict[str, Any] = {
            "boxes_mean": self._boxes / max(frames, 1),
            "boxes_by_class": dict(self._classes.most_common()),
        }
        return found | self._tracks.facts(frames)


@final
class BoxesView(ResultView[Boxes]):
    """Frames with class and score, and the lines that their centres came along."""

    name = "boxes"
    doing = "find+track"

    def follower(self, options: FollowOptions) -> BoxTracker:
        """See ``ResultView.follower``."""
        return BoxTracker(max_length=options.max_length)

    def summary(self) -> BoxesSummary:
        """See ``ResultView.summary``."""
        return BoxesSummary()

    def still(self, image: NDArray[np.uint8], result: Boxes) -> NDArray[np.uint8]:
        """See ``ResultView.still``."""
        return self._drawn(image, result, None)

    def moving(self, image: NDArray[np.uint8], result: Boxes, tracks: BoxTracks) -> NDArray[np.uint8]:
        """See ``ResultView.moving``."""
        return self._drawn(image, result, tracks)

    def marks(self, result: Boxes, kind: MarkKind) -> str:
        """See ``ResultView.marks``: a frame for each box, its class and score as a tooltip."""
        rows = zip(result.corners.tolist(), result.names(), result.scores.tolist(), strict=True)
        return "".join(
            f'<rect class="mark {kind}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0):.1f}" '
            f'height="{max(bottom - top, 0):.1f}"><title>{escape(name)} {score:.2f}</title></rect>'
            for (left, top, right, bottom), name, score in rows
        )

    def _drawn(self, image: NDArray[np.uint8], result: Boxes, tracks: BoxTracks | None) -> NDArray[np.uint8]:
        canvas = bgr_from_image(image)
        thickness = max(1, round(canvas.shape[1] / 500))
        names = result.names()
        for row in reversed(range(len(result))):  # the best on top
            colour = class_colour(int(result.classes[row]))
            corners = np.rint(result.corners[row].astype(np.float64) * (1 << _SHIFT)).astype(int).tolist()
            cv2.rectangle(canvas, corners[:2], corners[2:], colour, thickness, cv2.LINE_AA, _SHIFT)
            if tracks is not None:
                _draw_trail(canvas, tracks.positions[row], colour)
        for row in reversed(range(min(len(result), _LABELLED))):
            number = "" if tracks is None else f" #{tracks.ids[row]}"
            text = f"{names[row]} {result.scores[row]:.2f}{number}"
            left, top = (int(value) for value in np.floor(result.corners[row, :2]))
            put_label(canvas, text, left, top, class_colour(int(result.classes[row])))
        return canvas

    def figures(self, result: Boxes, tracks: BoxTracks | None) -> list[str]:
        """See ``ResultView.figures``."""
        continued = [] if tracks is None else [f"{int((tracks.ages > 1).sum())} tracks"]
        return [result.figure(), *continued]

    def facts(self, result: Boxes, tracks: BoxTracks | None) -> dict[str, Any]:
        """See ``ResultView.facts``."""
        found = result.facts()
        if tracks is not None:
            for box, number in zip(found["boxes"], tracks.ids.tolist(), strict=True):
                box["track"] = number
        return found

    def columns(self, result: Boxes, tracks: BoxTracks | None, *, descriptors: bool = False) -> dict[str, Column]:
        """See ``ResultView.columns``."""
        del descriptors
        followed = track_columns(tracks, len(result))
        corners = dict(zip(("x0", "y0", "x1", "y1"), result.corners.T, strict=True))
        found = {"class": result.classes, "label": text_column(result.names()), "score": result.scores}
        return {"id": followed["id"], **corners, **found, "age": followed["age"]}

    def words(self, facts: Mapping[str, Any]) -> list[str]:
        """See ``ResultView.words``."""
        followed = "tracks_mean_per_frame" in facts
        tracked = [f"{facts['tracks_mean_per_frame']:.1f} of them tracked"] if followed else []
        classes = [f"{count}× {name}" for name, count in list(facts["boxes_by_class"].items())[:3]]
        return [f"{facts['boxes_mean']:.1f} boxes a frame", *tracked, *classes]


def _draw_trail(canvas: NDArray[np.uint8], positions: NDArray[np.float32], colour: tuple[int, int, int]) -> None:
    known = positions[np.isfinite(positions).all(axis=1)]
    if len(known) > 1:
        fixed = np.rint(known.astype(np.float64) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(canvas, [fixed], False, colour, 1, cv2.LINE_AA, _SHIFT)
