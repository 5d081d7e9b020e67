"""How often pictures are drawn, and the slot that a run leaves its frames in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.run.page import viewers
from oakpoint.run.page.viewers import BUSY_SHARE, LEAST_FPS, MAX_FPS, FrameSlot, interval_s


@given(st.floats(0, 10), st.integers(1, 128))
def test_a_busy_run_gives_a_share_of_its_cores_and_pictures_still_move(cost_s: float, cores: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viewers, "cores", lambda: cores)
        limited, free = interval_s(cost_s, limited=True), interval_s(cost_s, limited=False)
    assert free == 1 / MAX_FPS
    assert 1 / MAX_FPS <= limited <= 1 / LEAST_FPS
    assert cost_s <= limited * BUSY_SHARE * cores * (1 + 1e-9) or limited == 1 / LEAST_FPS


def test_the_slot_holds_the_newest_frame_and_wakes_once_who_asked() -> None:
    slot, woken = FrameSlot(), []
    frames: list[Any] = [object(), object(), object()]
    assert slot.take() == (0, None)
    slot.put(frames[0])
    assert slot.take(lambda: woken.append(1)) == (1, frames[0])
    slot.put(frames[1])
    slot.put(frames[2])
    assert woken == [1]
    assert slot.take(lambda: woken.append(2)) == (3, frames[2])
    slot.take()  # nobody asks any more
    slot.put(frames[0])
    assert woken == [1]
    assert slot.newest is frames[0]
