"""What of a frame becomes which entity of Rerun; the one place that knows Rerun's archetypes.

==================== ======================================================================================
entity               content
==================== ======================================================================================
``frame/image``      the frame, as JPEG
``frame/keypoints``  points with the components ``score``, ``id`` and ``age``; colours from low to high score
``frame/boxes``      boxes with labels, and the same components
``frame/tracks``     a line for each track, of one colour as long as it lasts
``frame/mask``       the class of each pixel, with colours and labels
``frame/heat_map``   how likely a keypoint is, while that is drawn
``classes/…``        the most probable classes as bars and as a list
``found/…``          counts, and of a mask each class's share, as series
``time/…``           frames per second, latency and the time of each stage, as series
==================== ======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.features.tracking import Tracks
from oakpoint.features.types import Features
from oakpoint.geometry import corner_pixels_from_centre_pixels
from oakpoint.run.frames import TrackedFrame
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.tracking import BoxTracks
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.labels import label_of
from oakpoint.tasks.mask.result import NOT_SEEN, Mask
from oakpoint.view.draw import draw_heat_map, palette_colours
from oakpoint.view.picture import encoded
from oakpoint.view.results.base import track_columns
from oakpoint.view.results.colours import class_colour
from oakpoint.view.results.mask import first_is_background

JPEG_QUALITY = 90
POINT_UI_PX, LINE_UI_PX = 2.5, 0.8
"""Of a point and of a line, whatever the zoom; radii."""

OPACITY = 0.5
"""Of masks and heat maps over the frame."""

Entity = tuple[str, list[Any]]
"""A path, and what is logged there."""


def entities_of(rr: Any, frame: TrackedFrame) -> Iterator[Entity]:
    """Everything that is known of a frame.

    Args:
        rr: the module ``rerun``.
        frame: the frame.
    """
    yield "frame/image", [rr.EncodedImage(contents=_jpeg(frame.image), media_type="image/jpeg", draw_order=-10.0)]
    if frame.heat_map is not None:
        heat = draw_heat_map(np.zeros(frame.image.shape[:2], np.uint8), frame.heat_map)
        drawn = rr.EncodedImage(contents=_jpeg(heat), media_type="image/jpeg", opacity=OPACITY, draw_order=-8.0)
        yield "frame/heat_map", [drawn]
    found = _FOUND.get(type(frame.result))
    if found is not None:
        yield from found(rr, frame.result, frame.tracks)
    for path, value in _series(frame).items():
        yield path, [rr.Scalars(value)]


def _keypoints(rr: Any, result: Features, tracks: Tracks | None) -> Iterator[Entity]:
    n = len(result)
    rank = np.empty(n)
    rank[np.argsort(result.scores, kind="stable")] = np.arange(1, n + 1) / max(n, 1)
    points = rr.Points2D(
        corner_pixels_from_centre_pixels(result.keypoints),
        colors=palette_colours(rank)[:, ::-1],
        radii=rr.Radius.ui_points(POINT_UI_PX),
    )
    yield "frame/keypoints", [points, _numbers(rr, result.scores, tracks)]
    yield "found/keypoints", [rr.Scalars(n)]
    if tracks is not None:
        yield from _lines(rr, tracks)


def _boxes(rr: Any, result: Boxes, tracks: BoxTracks | None) -> Iterator[Entity]:
    numbers = [""] * len(result) if tracks is None else [f" #{number}" for number in tracks.ids.tolist()]
    rows = zip(result.names(), result.scores.tolist(), numbers, strict=True)
    boxes = rr.Boxes2D(
        array=corner_pixels_from_centre_pixels(result.corners.reshape(-1, 2)).reshape(-1, 4),
        array_format=rr.Box2DFormat.XYXY,
        labels=[f"{name} {score:.2f}{number}" for name, score, number in rows],
        colors=_rgb(result.classes.tolist()),
    )
    yield "frame/boxes", [boxes, _numbers(rr, result.scores, tracks)]
    yield "found/boxes", [rr.Scalars(len(result))]
    if tracks is not None:
        yield from _lines(rr, tracks)


def _lines(rr: Any, tracks: Tracks | BoxTracks) -> Iterator[Entity]:
    lasting = np.flatnonzero(tracks.ages > 1)
    positions = tracks.positions[lasting]
    known: NDArray[np.bool_] = np.asarray(np.isfinite(positions).all(axis=2))
    corners = corner_pixels_from_centre_pixels(positions.reshape(-1, 2)).reshape(positions.shape)
    strips = [line[there] for line, there in zip(corners, known, strict=True)]
    ids = tracks.ids[lasting]
    yield (
        "frame/tracks",
        [
            rr.LineStrips2D(strips, colors=_rgb(ids.tolist()), radii=rr.Radius.ui_points(LINE_UI_PX)),
            _components(rr, id=ids),
        ],
    )
    yield "found/tracks", [rr.Scalars(len(lasting))]


def _mask(rr: Any, result: Mask, tracks: None) -> Iterator[Entity]:
    del tracks
    counts = result.pixels()
    largest = max([0, len(result.labels) - 1, *counts])
    small = largest < 255
    none = 255 if small else 65535
    classes = np.where(result.classes == NOT_SEEN, none, result.classes).astype(np.uint8 if small else np.uint16)
    clear = {0} if first_is_background(result) else set()
    infos = [
        rr.AnnotationInfo(index, label_of(result.labels, index), (*_rgb([index])[0], 0 if index in clear else 255))
        for index in sorted({*counts, *range(min(len(result.labels), 256))})
    ]
    context = rr.AnnotationContext([*infos, rr.AnnotationInfo(none, "not seen", (0, 0, 0, 0))])
    yield "frame", [context]
    yield "frame/mask", [rr.SegmentationImage(classes, opacity=OPACITY, draw_order=-9.0)]
    whole = max(sum(counts.values()), 1)
    for index in sorted({*counts, *range(min(len(result.labels), 32))}):
        path = f"found/share/{rr.escape_entity_path_part(label_of(result.labels, index))}"
        yield path, [rr.Scalars(counts.get(index, 0) / whole)]


def _classes(rr: Any, result: Classes, tracks: None) -> Iterator[Entity]:
    del tracks
    rows = zip(result.names(), result.probabilities.tolist(), strict=True)
    yield "classes/probabilities", [rr.BarChart(result.probabilities, abscissa=result.indices)]
    yield "classes/list", [rr.TextDocument("\n".join(f"{value:7.1%}  {name}" for name, value in rows))]
    for name, value in zip(result.names()[:1], result.probabilities[:1].tolist(), strict=True):
        yield "found/first", [rr.TextLog(f"{name} {value:.1%}")]


_FOUND: Mapping[type, Callable[[Any, Any, Any], Iterator[Entity]]] = {
    Features: _keypoints,
    Boxes: _boxes,
    Mask: _mask,
    Classes: _classes,
}


def _series(frame: TrackedFrame) -> dict[str, float]:
    """How fast things go."""
    known = {"time/rate_fps": frame.rate_fps}
    if frame.latency_s is not None:
        known["time/latency_ms"] = 1e3 * frame.latency_s
    stages = {f"time/stages_ms/{stage}": 1e3 * seconds for stage, seconds in frame.stages_s.items()}
    return {path: value for path, value in (known | stages).items() if value is not None}


def _numbers(rr: Any, scores: NDArray[np.float32], tracks: Any) -> Any:
    return _components(rr, score=scores, **track_columns(tracks, len(scores)))


def _components(rr: Any, **columns: NDArray[Any]) -> Any:
    """Numbers of oakpoint's own, one for each instance; typed, so that none of them is known, too."""
    import pyarrow  # Rerun brings it

    return rr.DynamicArchetype("oakpoint", components={name: pyarrow.array(column) for name, column in columns.items()})


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    return encoded(image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _rgb(numbers: list[int]) -> NDArray[np.uint8]:
    """A colour for each number, the same for the same number; uint8 (N, 3)."""
    return np.array([_class_rgb(number) for number in numbers], np.uint8).reshape(-1, 3)


@lru_cache(maxsize=4096)
def _class_rgb(number: int) -> tuple[int, int, int]:
    blue, green, red = class_colour(number)
    return red, green, blue
