"""Short videos, and how many frames of them can be read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_clip(path: Path, photograph: np.ndarray, *, frames: int, fps: float = 10.0) -> Path:
    """A view that moves over a photograph."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (200, 160))
    for i in range(frames):
        writer.write(cv2.cvtColor(photograph[150:310, 100 + i % 60 : 300 + i % 60], cv2.COLOR_GRAY2BGR))
    writer.release()
    return path


def frames_of(path: Path) -> int:
    """Frames of a recording of any kind; every one of them can be decoded."""
    if path.is_dir():
        pictures = [cv2.imread(str(picture)) for picture in path.glob("*.png")]
        assert all(picture is not None for picture in pictures)
        return len(pictures)
    if path.suffix == ".gif":
        found, animation = cv2.imreadanimation(str(path))
        assert found
        return len(animation.frames)
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    return count
