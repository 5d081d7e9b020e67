"""OpenCV's settings in several threads: right for every one that opens a video, and as before when all are done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import cv2
import numpy as np
import pytest

from oakpoint.errors import ImageError
from oakpoint.images.opencv import CONTAINERS, opening_video, quiet_opencv
from oakpoint.images.sources import open_video

OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
LEVEL = "OPENCV_FFMPEG_LOGLEVEL"


def settings() -> tuple[str | None, str | None, int]:
    return os.environ.get(OPTIONS), os.environ.get(LEVEL), cv2.utils.logging.getLogLevel()


@pytest.fixture(params=[None, "threads;1"])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[str | None, ...]]:
    """The user's own settings."""
    level = cv2.utils.logging.getLogLevel()
    with pytest.MonkeyPatch.context() as patch:
        for name in (OPTIONS, LEVEL):
            patch.setenv(name, "")  # so that it is undone whatever a test makes of it
            del os.environ[name]
        if request.param:
            os.environ[OPTIONS] = request.param
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        yield settings()
    cv2.utils.logging.setLogLevel(level)


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)


def only_containers() -> bool:
    return f"format_whitelist;{','.join(CONTAINERS)}" in os.environ.get(OPTIONS, "")


@pytest.mark.parametrize("block", [quiet_opencv, opening_video])
@pytest.mark.parametrize("first_to_go", [0, 1])
def test_blocks_of_two_threads_end_in_any_order(
    before: tuple[str | None, ...], block: Callable[[], AbstractContextManager[None]], first_to_go: int
) -> None:
    held = [ExitStack(), ExitStack()]
    held[0].enter_context(block())
    in_thread(lambda: held[1].enter_context(block()))
    held.pop(first_to_go).close()
    assert settings()[2] == cv2.utils.logging.LOG_LEVEL_SILENT
    assert only_containers() == (block is opening_video)
    held.pop().close()
    assert settings() == before


def test_reading_changes_no_environment(before: tuple[str | None, ...]) -> None:
    with quiet_opencv():
        assert settings()[:2] == before[:2]


def test_what_the_user_sets_meanwhile_stays(before: tuple[str | None, ...]) -> None:
    with opening_video():
        os.environ[OPTIONS] = "theirs;1"
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_INFO)
    assert settings() == ("theirs;1", None, cv2.utils.logging.LOG_LEVEL_INFO)


def test_threads_that_open_videos_open_no_playlists(tmp_path: Path, before: tuple[str | None, ...]) -> None:
    video, playlist = tmp_path / "a.avi", tmp_path / "list.mp4"
    writer = cv2.VideoWriter(str(video), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 24))
    for level in range(3):
        writer.write(np.full((24, 32, 3), 40 * level, np.uint8))
    writer.release()
    playlist.write_text(f"ffconcat version 1.0\nfile {video.name}\n")
    together = threading.Barrier(4)
    opened: list[str] = []

    def work(number: int) -> None:
        together.wait(60)
        for _ in range(25):
            with open_video(video) as source:
                assert len(list(source)) == 3
            try:
                open_video(playlist).close()
            except ImageError:
                continue
            opened.append(f"by thread {number}")

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(work, range(4)):
            pass
    assert not opened
    assert settings() == before
