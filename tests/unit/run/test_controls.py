"""Controls: all of a change or nothing, one immutable value at a time."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.errors import UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.run.controls import ControlBoard, Controls, Drawn
from oakpoint.tasks.keypoints.task import Keypoints

TASK = Keypoints(decode=DecodeOptions.preset("superpoint"))


def decode_of(controls: Controls) -> DecodeOptions:
    assert isinstance(controls.task, Keypoints)
    return controls.task.decode


def test_a_change_is_there_at_the_next_look_and_the_value_before_stays_as_it_was() -> None:
    board = ControlBoard(TASK)
    before = board.read()
    after = board.change({"threshold": 0.25, "nms_radius_px": 7}, {"heat_map": True})
    assert board.read() is after
    assert (decode_of(after).threshold, decode_of(after).nms_radius_px, after.drawn.heat_map) == (0.25, 7, True)
    assert (decode_of(before).threshold, before.drawn) == (0.015, Drawn())
    with pytest.raises(FrozenInstanceError):
        after.paused = True  # type: ignore[misc]


def test_a_knob_turned_back_has_the_value_that_the_network_was_opened_with() -> None:
    board = ControlBoard(TASK)
    board.change({"max_keypoints": 100})
    board.change({"threshold": 0.5})
    assert decode_of(board.read()).max_keypoints == 100
    assert decode_of(board.change({"max_keypoints": None})) == DecodeOptions.preset("superpoint").with_changes(
        threshold=0.5
    )


@given(
    st.dictionaries(
        st.sampled_from(["threshold", "nms_radius_px", "max_keypoints", "border_px", "__class__", ""]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.just([1])),
    ),
    st.dictionaries(st.sampled_from(["found", "tracks", "heat_map", "x"]), st.one_of(st.booleans(), st.integers(0, 1))),
)
def test_whatever_is_asked_all_of_it_holds_or_nothing(knobs: dict[str, Any], drawn: dict[str, Any]) -> None:
    board = ControlBoard(TASK)
    before = board.read()
    try:
        board.change(knobs, drawn)
    except UsageError as error:
        said = str(error)
    else:
        said = None
    if said is not None:
        assert board.read() is before
        assert "expected" in said
        assert len(said) < 200
        return
    after, opened = board.read(), DecodeOptions.preset("superpoint")
    for name, value in knobs.items():
        assert getattr(decode_of(after), name) == (getattr(opened, name) if value is None else value)
    assert all(getattr(after.drawn, name) is value for name, value in drawn.items())


def test_pause_step_and_go_on() -> None:
    board = ControlBoard(TASK)
    assert (board.pause(paused=True).paused, board.step().steps, board.step().steps) == (True, 1, 2)
    assert board.read().paused
    assert not board.pause(paused=False).paused


def test_a_wait_ends_with_a_change_made_elsewhere() -> None:
    board = ControlBoard(TASK)
    seen = board.read()
    assert board.wait(seen, 0.0) is seen
    other = threading.Thread(target=lambda: board.change({"threshold": 0.3}))
    other.start()
    assert decode_of(board.wait(seen, 30.0)).threshold == 0.3
    other.join()
