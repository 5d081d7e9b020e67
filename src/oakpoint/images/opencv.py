"""OpenCV kept quiet: what it would write on stderr reaches the user as one of our errors instead."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import cv2


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV and the FFmpeg inside it from writing to stderr within the block.

    OpenCV's own level is put back afterwards. FFmpeg's is read once in a process, when OpenCV first uses it, from
    ``OPENCV_FFMPEG_LOGLEVEL``: it is set to AV_LOG_QUIET (−8) there, unless the user has set it.
    """
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with environment({"OPENCV_FFMPEG_LOGLEVEL": os.environ.get("OPENCV_FFMPEG_LOGLEVEL", "-8")}):
            yield
    finally:
        cv2.utils.logging.setLogLevel(level)


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, the only way to hand OpenCV's FFmpeg an option, within the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
