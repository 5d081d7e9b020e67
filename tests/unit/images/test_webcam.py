"""A webcam read in a thread of its own."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from oakpoint.images.webcam import WebcamReader

FIRST = np.zeros((2, 2, 3), np.uint8)


class Camera:
    """Delivers a frame whenever it is let; then nothing."""

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.released = threading.Event()
        self.ends = False
        self.fails: Exception | None = None

    def read(self) -> np.ndarray | None:
        self.asked.release()
        assert self.allowed.acquire(timeout=30)
        if self.fails is not None:
            raise self.fails
        return None if self.ends else FIRST

    def deliver(self, frames: int) -> None:
        """Return when the reader asks for the one after these."""
        for _ in range(frames):
            assert self.asked.acquire(timeout=30)
            self.allowed.release()
        assert self.asked.acquire(timeout=30)
        self.asked.release()

    def end(self) -> None:
        self.ends = True
        self.allowed.release()


@pytest.fixture
def camera() -> Camera:
    return Camera()


def opened(camera: Camera) -> WebcamReader:
    return WebcamReader(FIRST, camera.read, camera.released.set)


def test_a_run_that_is_slower_gets_the_latest_frame(camera: Camera) -> None:
    reader = opened(camera)
    assert next(reader).number == 0
    camera.deliver(5)
    latest = next(reader)
    assert (latest.number, reader.read_frames) == (5, 6)
    camera.end()
    assert list(reader) == []
    reader.close()
    assert camera.released.wait(30)


def test_times_are_those_at_which_frames_came(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 100.25, 100.5, 101.0])
    monkeypatch.setattr("oakpoint.images.webcam.time.monotonic", lambda: next(now))
    reader = opened(camera)
    times = [next(reader).time_s]
    for _ in range(3):
        camera.deliver(1)
        times.append(next(reader).time_s)
    assert times == [0.0, 0.25, 0.5, 1.0]
    camera.end()
    reader.close()


def test_every_frame_of_one_that_waits_is_taken(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oakpoint.images.webcam.LATEST_ONLY", False)
    left = iter(range(20))
    reader = WebcamReader(FIRST, lambda: FIRST if next(left, None) is not None else None, camera.released.set)
    assert [grabbed.number for grabbed in reader] == list(range(21))
    reader.close()
    assert camera.released.is_set()


def test_one_that_was_never_asked_is_given_back_at_once(camera: Camera) -> None:
    opened(camera).close()
    assert camera.released.is_set()


def test_one_that_is_still_reading_is_given_back_when_it_is_done(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oakpoint.images.webcam.LONGEST_CLOSE_S", 0.0)
    reader = opened(camera)
    next(reader)
    camera.deliver(0)
    reader.close()
    assert not camera.released.is_set(), "nothing may be released while it is read"
    camera.allowed.release()
    assert camera.released.wait(30)


def test_what_fails_in_the_thread_is_raised_where_frames_are_taken(camera: Camera) -> None:
    reader = opened(camera)
    next(reader)
    camera.fails = ValueError("broken")
    camera.allowed.release()
    with pytest.raises(ValueError, match="broken"):
        next(reader)
    reader.close()
    assert camera.released.wait(30)
