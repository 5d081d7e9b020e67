from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from oakpoint.oak.live import STALL_S
from oakpoint.run.recordings.opening import open_recording
from oakpoint.run.recordings.pacing import LONGEST_PAUSE_S, PacedWriter


class Places:
    """A recording of a fixed rate: which frame stands at each of its places."""

    keeps_times = False

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def write(self, picture: NDArray[np.uint8]) -> None:
        self.numbers.append(int(picture[0]))

    def repeat(self) -> None:
        self.numbers.append(self.numbers[-1])


class Times:
    """A recording in which a frame may stand for any time."""

    keeps_times = True

    def __init__(self) -> None:
        self.at_s: list[float] = []

    def write(self, picture: NDArray[np.uint8], *, at_s: float) -> None:
        self.at_s.append(at_s)


def paced(recording: Places | Times, fps: float) -> PacedWriter:
    stand_in: Any = recording
    return PacedWriter(stand_in, fps=fps)


def written(times_s: list[float], fps: float) -> list[int]:
    """Which frame stands at each place of the recording."""
    places = Places()
    writer = paced(places, fps)
    for number, time_s in enumerate(times_s):
        writer.add(lambda number=number: np.array([number]), time_s)  # type: ignore[misc]
    return places.numbers


def test_frames_at_the_recordings_rate_are_written_once() -> None:
    assert written([10.0, 10.1, 10.2, 10.3], 10) == [0, 1, 2, 3]


def test_a_slower_camera_plays_as_fast_as_things_went() -> None:
    assert written([0, 0.2, 0.4], 10) == [0, 0, 1, 1, 2]


def test_frames_that_come_too_soon_are_left_out_and_undrawn() -> None:
    drawn: list[int] = []

    def picture(number: int) -> NDArray[np.uint8]:
        drawn.append(number)
        return np.array([number], np.uint8)

    writer = paced(Places(), fps=10)
    for number in range(11):
        writer.add(lambda number=number: picture(number), number * 0.05)  # type: ignore[misc]
    assert len(drawn) == 6


@given(
    st.lists(st.floats(0.0, LONGEST_PAUSE_S), min_size=1, max_size=200),
    st.floats(1.0, 120.0),
    st.floats(-1e6, 1e6),
)
def test_every_place_shows_the_frame_of_its_time(gaps_s: list[float], fps: float, start_s: float) -> None:
    times_s = (start_s + np.concatenate([[0.0], np.cumsum(gaps_s)])).tolist()
    shown = written(times_s, fps)
    last = (times_s[-1] - times_s[0]) * fps
    assert abs(len(shown) - 1 - last) <= 0.5 + 1e-6 * len(times_s)
    assert shown == sorted(shown)
    for place, number in enumerate(shown):
        place_s = times_s[0] + place / fps
        slack_s = 0.5 / fps + 1e-6
        assert times_s[number] <= place_s + slack_s, "it had come by then"
        later = next((time_s for time_s in times_s[number + 1 :] if time_s > times_s[number]), math.inf)
        assert later >= place_s - slack_s, "and was the latest"


def test_a_stall_of_a_camera_that_is_still_there_is_kept_whole() -> None:
    assert LONGEST_PAUSE_S > STALL_S
    assert len(written([0, STALL_S, STALL_S + 0.1], 10)) == 152


def test_a_longer_pause_does_not_fill_the_recording_and_is_told() -> None:
    places = Places()
    writer = paced(places, fps=10)
    for time_s in (0.0, 1000.0, 1000.1):
        writer.add(lambda: np.zeros(1, np.uint8), time_s)
    assert len(places.numbers) == LONGEST_PAUSE_S * 10 + 2
    assert writer.cut_s == pytest.approx(1000 - LONGEST_PAUSE_S)


@given(st.lists(st.floats(0.0, LONGEST_PAUSE_S), min_size=1, max_size=50), st.floats(-1e6, 1e6))
def test_a_recording_that_keeps_times_gets_every_frame_at_its_own(gaps_s: list[float], start_s: float) -> None:
    times = Times()
    writer = paced(times, fps=30)
    for time_s in (start_s + np.concatenate([[0.0], np.cumsum(gaps_s)])).tolist():
        writer.add(lambda: np.zeros(1, np.uint8), time_s)
    assert times.at_s == pytest.approx([0.0, *np.cumsum(gaps_s)], abs=1e-6)


def test_a_longer_pause_is_cut_there_too() -> None:
    times = Times()
    writer = paced(times, fps=30)
    for time_s in (0.0, 1000.0, 1000.1):
        writer.add(lambda: np.zeros(1, np.uint8), time_s)
    assert times.at_s == pytest.approx([0, LONGEST_PAUSE_S, LONGEST_PAUSE_S + 0.1])
    assert writer.cut_s == pytest.approx(1000 - LONGEST_PAUSE_S)


def test_a_clock_that_goes_back_is_no_pause() -> None:
    assert written([5.0, 4.0, 5.0], 10)[-1] == 2


def seconds_of(path: Path) -> float:
    if path.suffix == ".gif":
        found, animation = cv2.imreadanimation(str(path))
        assert found
        return float(sum(animation.durations)) / 1000
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        return float(max(packet.pts + packet.duration for packet in packets) * stream.time_base)


RNG = np.random.default_rng(0)
CAMERAS = {
    "5 fps": np.arange(20) / 5,
    "as announced": np.arange(90) / 30,
    "faster than announced": np.arange(300) / 100,
    "uneven": np.cumsum(RNG.uniform(0.005, 0.4, 40)),
    "stalls": np.cumsum([0, 0.03, 4.0, 0.03, 0.03, 2.5, 0.03]),
}


@pytest.mark.parametrize("times_s", CAMERAS.values(), ids=CAMERAS.keys())
@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_a_file_lasts_as_long_as_the_camera_took(
    tmp_path: Path, times_s: NDArray[np.float64], name: str, fps: float
) -> None:
    with open_recording(tmp_path / name, fps=fps) as recording:
        writer = PacedWriter(recording, fps=fps)
        for number, time_s in enumerate(times_s.tolist()):
            writer.add(lambda number=number: np.full((16, 16, 3), number % 250, np.uint8), time_s)  # type: ignore[misc]
    took_s = times_s[-1] - times_s[0] + 1 / fps  # the last frame stands for one place
    assert seconds_of(tmp_path / name) == pytest.approx(took_s, abs=1 / fps + (0.02 if name == "a.gif" else 0.0))
