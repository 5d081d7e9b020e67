from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oakpoint.oak.pairing import KEPT, Pairing


def test_frames_wait_for_their_result() -> None:
    pairing: Pairing[str] = Pairing()
    for number in (3, 4, 5):
        pairing.add(number, f"frame {number}")
    assert pairing.take(4) == "frame 4"
    assert pairing.take(3) is None, "what came before the last result is gone"
    assert pairing.take(5) == "frame 5"
    assert pairing.take(5) is None


def test_a_missing_frame_may_come_until_a_later_one_has() -> None:
    pairing: Pairing[str] = Pairing()
    assert pairing.may_still_come(0)
    pairing.add(1, "frame 1")
    assert pairing.may_still_come(2)
    assert not pairing.may_still_come(1)
    assert not pairing.may_still_come(0), "frames come in rising order: 0 is lost"


@given(st.lists(st.integers(0, 500), unique=True), st.lists(st.integers(0, 500), unique=True))
def test_a_result_gets_its_own_frame_or_none_and_memory_is_bounded(frames: list[int], results: list[int]) -> None:
    pairing: Pairing[int] = Pairing()
    for number in sorted(frames):
        pairing.add(number, number)
    taken = [pairing.take(number) for number in sorted(results)]
    kept = set(sorted(frames)[-KEPT:])
    assert taken == [number if number in kept else None for number in sorted(results)]
