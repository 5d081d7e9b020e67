"""OpenCV kept quiet: what it would write on stderr reaches the user as one of our errors instead.

Both settings are the whole process's. They are changed while any thread needs them, and put back when none does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

from oakpoint.threads import SharedSetting

CONTAINERS = (
    "asf", "avi", "flv", "gif", "h264", "hevc", "ivf", "jpeg_pipe", "m4v", "matroska", "mjpeg", "mov", "mpeg", "mpegts",
    "mpegvideo", "ogg",
)  # fmt: skip
"""FFmpeg's names of the formats that videos are read from (``ffmpeg -demuxers``); all of them hold their own pictures.

Not here are those that name other files or addresses: concat, hls, dash, sdp, image2 and their like."""


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV from writing to stderr within the block."""
    with _silent.held():
        yield


@contextmanager
def opening_video() -> Iterator[None]:
    """A block in which OpenCV opens a video to read or write: kept quiet, and reading nothing but ``CONTAINERS``.

    FFmpeg inside OpenCV takes its options from the environment, whenever a video is opened
    (``modules/videoio/src/cap_ffmpeg_impl.hpp``). Its level of logging holds for the process until the next is opened;
    it is AV_LOG_QUIET (−8), unless the user has set ``OPENCV_FFMPEG_LOGLEVEL``.
    """
    with _ffmpeg_options.held(), quiet_opencv():
        yield


def _silence() -> Callable[[], None]:
    silent, before = cv2.utils.logging.LOG_LEVEL_SILENT, cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(silent)

    def put_back() -> None:
        if cv2.utils.logging.getLogLevel() == silent:  # else somebody has changed it meanwhile
            cv2.utils.logging.setLogLevel(before)

    return put_back


def _give_ffmpeg_options() -> Callable[[], None]:
    options = {
        "OPENCV_FFMPEG_LOGLEVEL": os.environ.get("OPENCV_FFMPEG_LOGLEVEL", "-8"),
        "OPENCV_FFMPEG_CAPTURE_OPTIONS": f"protocol_whitelist;file|format_whitelist;{','.join(CONTAINERS)}",
    }
    before = {name: os.environ.get(name) for name in options}
    os.environ.update(options)

    def put_back() -> None:
        for name, value in before.items():
            if os.environ.get(name) != options[name]:
                continue  # somebody has changed it meanwhile
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

    return put_back


_silent = SharedSetting(_silence)
_ffmpeg_options = SharedSetting(_give_ffmpeg_options)
