"""Recordings that are begun and ended on the page."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from live_run import KEYPOINTS, keypoint_observation

from oakpoint import files
from oakpoint.errors import OutputError, UsageError
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.page.recorder import PageRecorder
from oakpoint.run.tracking import FrameTracker


@pytest.fixture
def frames() -> list[TrackedFrame]:
    return list(FrameTracker(ControlBoard(KEYPOINTS), None).frames(map(keypoint_observation, range(4))))


@pytest.fixture
def told() -> list[int]:
    return []


@pytest.fixture
def recorder(tmp_path: Path, told: list[int]) -> PageRecorder:
    return PageRecorder(tmp_path / "in" / "here", "small", fps=30, changed=lambda: told.append(1))


def test_each_recording_is_a_file_of_its_own_however_fast_they_follow(
    recorder: PageRecorder, frames: list[TrackedFrame], told: list[int]
) -> None:
    for _ in range(3):
        recorder.start()
        recorder.start()  # it does so already
        assert recorder.state.recording is not None
        for frame in frames:
            recorder.add(frame)
        recorder.stop()
        recorder.stop()
    assert len(set(recorder.state.finished)) == 3
    assert sorted(recorder.state.finished) == sorted(path.name for path in recorder.folder.iterdir())
    assert all(name.startswith("small-") and name.endswith(".mp4") for name in recorder.state.finished)
    assert len(told) == 6


def test_nothing_is_made_before_something_is_recorded(recorder: PageRecorder, frames: list[TrackedFrame]) -> None:
    recorder.add(frames[0])
    recorder.stop()
    assert not recorder.folder.exists()


def test_one_without_a_frame_leaves_nothing(recorder: PageRecorder) -> None:
    recorder.start()
    recorder.stop()
    assert recorder.state.failure == "no frame came while it was recording, nothing is kept"
    assert list(recorder.folder.iterdir()) == []
    recorder.start()
    assert recorder.state.failure is None


def test_a_full_disk_ends_the_recording_and_keeps_what_was_there(
    recorder: PageRecorder, frames: list[TrackedFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.start()
    recorder.add(frames[0])
    monkeypatch.setattr(files, "LEAST_FREE_BYTES", 1 << 62)
    recorder.add(frames[1])
    recorder.add(frames[2])
    assert recorder.state.recording is None
    assert "disk is all but full" in str(recorder.state.failure)
    (name,) = recorder.state.finished
    assert (recorder.folder / name).stat().st_size > 0


def test_frames_of_another_size_end_it_and_are_told(recorder: PageRecorder, frames: list[TrackedFrame]) -> None:
    from dataclasses import replace

    recorder.start()
    recorder.add(frames[0])
    recorder.add(replace(frames[1], image=np.zeros((64, 64, 3), np.uint8)))
    assert "expected frames of" in str(recorder.state.failure)


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputError, match="cannot make this folder"):
        PageRecorder(tmp_path / "x", "small", fps=30).start()


def test_when_it_is_closed_nothing_more_begins(recorder: PageRecorder, frames: list[TrackedFrame]) -> None:
    recorder.start()
    recorder.add(frames[0])
    recorder.close("the run has ended")
    assert len(recorder.state.finished) == 1
    with pytest.raises(UsageError, match="the run has ended"):
        recorder.start()


def test_only_its_own_finished_files_have_a_path(recorder: PageRecorder, frames: list[TrackedFrame]) -> None:
    recorder.start()
    recorder.add(frames[0])
    name = str(recorder.state.recording)
    assert recorder.path_of(name) is None
    recorder.stop()
    assert recorder.path_of(name) == recorder.folder / name
    for other in ("../x.mp4", f"../here/{name}", "", "other.mp4"):
        assert recorder.path_of(other) is None


def test_starting_and_stopping_from_other_threads_loses_no_file(
    recorder: PageRecorder, frames: list[TrackedFrame]
) -> None:
    def press() -> None:
        for _ in range(5):
            recorder.start()
            recorder.stop()

    threads = [threading.Thread(target=press) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        recorder.add(frames[0])
    recorder.stop()
    assert sorted(recorder.state.finished) == sorted(path.name for path in recorder.folder.iterdir())
