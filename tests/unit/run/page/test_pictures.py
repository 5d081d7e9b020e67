"""Frames as the page gets them."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from live_run import KEYPOINTS, SIZE, keypoint_observation

from oakpoint.features.tracking import Tracker
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.page.pictures import MAX_SIDE_PX, counts_of, encoded_frame, snapshot_png
from oakpoint.run.page.protocol import parts_of_frame
from oakpoint.run.page.recorder import PageRecorder
from oakpoint.run.page.state import PageState, PageTitle
from oakpoint.run.tracking import FrameTracker


def frame_of(board: ControlBoard | None = None, *, still: bool = False) -> TrackedFrame:
    tracker = FrameTracker(board or ControlBoard(KEYPOINTS), None if still else Tracker(max_length=5, max_distance=0.7))
    return list(tracker.frames(map(keypoint_observation, range(3))))[-1]


def test_counts_are_the_figures_that_are_numbers() -> None:
    assert counts_of(["412 keypoints", "380 tracks"]) == {"keypoints": 412, "tracks": 380}
    assert counts_of(["1 box", "0 tracks"]) == {"boxes": 1, "tracks": 0}
    assert counts_of(["tabby cat 43%", "3x4", "", "7"]) == {}


def test_what_is_no_number_is_null() -> None:
    frame = replace(frame_of(), time_s=math.nan, rate_fps=math.inf, latency_s=0.25)
    facts, _ = parts_of_frame(encoded_frame(frame, 7))
    assert (facts["time_s"], facts["rate_fps"], facts["latency_ms"], facts["number"]) == (None, None, 250.0, 7)


def test_large_pictures_are_scaled_down_on_their_way_and_snapshots_are_not() -> None:
    frame = replace(frame_of(), image=np.zeros((1500, 3000), np.uint8))
    facts, jpeg = parts_of_frame(encoded_frame(frame, 1))
    assert facts["size"] == [3000, 1500]
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (MAX_SIDE_PX // 2, MAX_SIDE_PX, 3)
    whole = cv2.imdecode(np.frombuffer(snapshot_png(frame, None), np.uint8), cv2.IMREAD_COLOR)
    assert whole is not None
    np.testing.assert_array_equal(whole, frame.canvas)


def test_an_image_by_itself_was_read_before() -> None:
    facts, _ = parts_of_frame(encoded_frame(frame_of(still=True), 1))
    assert "read" not in facts["stages_ms"]
    assert facts["counts"] == {"keypoints": 8}
    assert facts["size"] == list(SIZE)


@pytest.mark.parametrize(
    ("live", "read_s", "paused", "busy"),
    [(False, 0.9, False, True), (True, 0.001, False, True), (True, 0.9, False, False), (False, 0.0, True, False)],
)
def test_a_run_wants_the_processor_unless_it_waits_for_a_camera_or_for_the_user(
    tmp_path: object, live: bool, read_s: float, paused: bool, busy: bool
) -> None:
    from pathlib import Path

    board = ControlBoard(KEYPOINTS)
    recorder = PageRecorder(Path(str(tmp_path)), "small", fps=30)
    state = PageState(PageTitle(network="small", source="0"), board, recorder, live=live)
    board.pause(paused=paused)
    frame = replace(frame_of(board), stages_s={"read": read_s, "network": 0.1})
    assert state.is_busy(frame) is busy
    assert not state.is_busy(replace(frame, moving=False))
    state.ended = "source"
    assert not state.is_busy(frame)
