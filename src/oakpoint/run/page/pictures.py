"""Frames as the page shows them: facts, and a picture that travels."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from oakpoint.finite import finite_or_none
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.page.protocol import frame_message
from oakpoint.view.draw import with_status
from oakpoint.view.picture import encoded

MAX_SIDE_PX = 1280
"""A longer picture is scaled down on its way to the page; snapshots and recordings are not."""

JPEG_QUALITY = 80
"""At which no blocks are seen beside what is drawn; a picture of 640×480 px takes some 80 kB."""

_COUNT = re.compile(r"(\d+) (\D+)")


def encoded_frame(frame: TrackedFrame, number: int) -> bytes:
    """A frame as a message to the page.

    Args:
        frame: drawn here, if it is not yet.
        number: of the picture, counted by the page.

    Raises:
        OakpointError: it cannot be drawn.
    """
    start = time.perf_counter()
    canvas = frame.canvas
    drawn = time.perf_counter()
    jpeg = encoded(_fitting(canvas), ".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    own_s = {"draw": drawn - start, "encode": time.perf_counter() - drawn}
    facts = {"number": number, "size": [canvas.shape[1], canvas.shape[0]]} | _facts(frame, frame.stages_s | own_s)
    return frame_message(facts, jpeg)


def snapshot_png(frame: TrackedFrame, notice: str | None) -> bytes:
    """What the page shows as PNG, of the frame's own size; a notice stands below it.

    Raises:
        OakpointError: it cannot be drawn.
    """
    return encoded(with_status(frame.canvas, [notice]) if notice else frame.canvas, ".png")


def counts_of(figures: list[str]) -> dict[str, int]:
    """What was counted in a frame, by its name, from its figures: ``{"keypoints": 412, "tracks": 380}``."""
    found = filter(None, map(_COUNT.fullmatch, figures))
    return {{"box": "boxes"}.get(match[2], match[2]): int(match[1]) for match in found}


def _facts(frame: TrackedFrame, stages_s: Mapping[str, float]) -> dict[str, Any]:
    figures, controls = frame.figures(), frame.controls
    told = [stage for stage in stages_s if frame.moving or stage != "read"]  # an image by itself was there before
    return {
        "index": frame.index,
        "name": frame.name,
        "time_s": finite_or_none(frame.time_s),
        "figures": figures,
        "counts": counts_of(figures),
        "rate_fps": finite_or_none(frame.rate_fps),
        "latency_ms": None if frame.latency_s is None else finite_or_none(1e3 * frame.latency_s),
        "stages_ms": {stage: round(1e3 * stages_s[stage], 3) for stage in told},
        "knobs": {knob.name: knob.value for knob in controls.task.knobs()},
        "drawn": {name: getattr(controls.drawn, name) for name in ("found", "tracks", "heat_map")},
    }


def _fitting(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = MAX_SIDE_PX / max(height, width)
    if scale >= 1:
        return picture
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
