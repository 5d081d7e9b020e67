from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oakpoint.view.pacing import LONGEST_PAUSE_S, PacedWriter


def written(times_s: list[float], fps: float) -> list[int]:
    numbers: list[int] = []
    writer = PacedWriter(lambda picture: numbers.append(int(picture[0])), fps=fps)
    for number, time_s in enumerate(times_s):
        writer.add(lambda number=number: np.array([number], np.uint8), time_s)
    return numbers


def test_frames_at_the_recordings_rate_are_written_once() -> None:
    assert written([10.0, 10.1, 10.2, 10.3], 10) == [0, 1, 2, 3]


def test_a_slower_camera_plays_as_fast_as_things_went() -> None:
    assert written([0, 0.2, 0.4], 10) == [0, 0, 1, 1, 2]


def test_frames_that_come_too_soon_are_left_out_and_undrawn() -> None:
    drawn: list[int] = []

    def picture(number: int) -> NDArray[np.uint8]:
        drawn.append(number)
        return np.array([number], np.uint8)

    writer = PacedWriter(lambda picture: None, fps=10)
    for number in range(11):
        writer.add(lambda number=number: picture(number), number * 0.05)
    assert len(drawn) == 6


def test_uneven_times_add_up() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.2, 200))
    assert abs(len(written(times.tolist(), 30)) - (times[-1] - times[0]) * 30) <= 1


def test_a_pause_does_not_fill_the_recording() -> None:
    assert len(written([0, 1000], 10)) <= LONGEST_PAUSE_S * 10 + 1
