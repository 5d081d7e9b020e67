from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.bench.host.rounds import FEWEST_ROUNDS, Length, Rounds, in_rounds, repeats_for
from oakpoint.errors import BackendError

Turns = dict[str, Callable[[int], object]]


def measured(turns: Turns, length: Length, seed: int = 0) -> tuple[Rounds[object], list[float]]:
    ticks, heard = count(), list[float]()
    rng = np.random.default_rng(seed)
    found = in_rounds(turns, length, rng=rng, clock=lambda: float(next(ticks)), progress=heard.append)
    return found, heard


def test_every_contender_has_one_turn_in_each_round_in_an_order_drawn_anew() -> None:
    order: list[tuple[int, str]] = []
    turns: Turns = {name: lambda number, name=name: order.append((number, name)) for name in "abcd"}  # type: ignore[misc]
    found, heard = measured(turns, Length(rounds=20, seconds=1))
    assert {name: len(of) for name, of in found.turns.items()} == dict.fromkeys("abcd", 20)
    assert [number for number, _ in order] == [number for number in range(20) for _ in "abcd"]
    rounds = ["".join(name for at, name in order if at == number) for number in range(20)]
    assert {"".join(sorted(names)) for names in rounds} == {"abcd"}
    assert len(set(rounds)) > 10
    assert heard == [float(number + 1) for number in range(20)]


def test_a_seed_gives_one_order() -> None:
    def order(seed: int) -> list[str]:
        names: list[str] = []
        measured(
            {name: lambda _, name=name: names.append(name) for name in "abcdef"}, Length(rounds=5, seconds=1), seed
        )  # type: ignore[misc]
        return names

    assert order(1) == order(1) != order(2)


def test_seconds_decide_where_rounds_were_not_asked_for() -> None:
    """The clock is looked at twice in a round here, so that a round takes two seconds."""
    assert len(measured({"a": float}, Length(rounds=None, seconds=20))[0].turns["a"]) == 10
    assert len(measured({"a": float}, Length(rounds=None, seconds=0.1))[0].turns["a"]) == FEWEST_ROUNDS


def test_one_that_fails_is_out_and_the_others_go_on() -> None:
    def failing(number: int) -> int:
        if number == 2:
            raise BackendError("the run failed: memory")
        return number

    found, _ = measured({"a": float, "b": failing}, Length(rounds=5, seconds=1))
    assert found.failed == {"b": "the run failed: memory"}
    assert found.turns == {"a": [0.0, 1.0, 2.0, 3.0, 4.0]}


def test_when_all_fail_there_is_an_end() -> None:
    def failing(_: int) -> int:
        raise BackendError("no")

    found, _ = measured({"a": failing}, Length(rounds=None, seconds=1e9))
    assert (found.turns, found.failed) == ({}, {"a": "no"})


def test_ctrl_c_leaves_whole_rounds() -> None:
    def interrupted(number: int) -> int:
        if number == 3:
            raise KeyboardInterrupt
        return number

    found, _ = measured({"a": lambda number: number, "b": interrupted}, Length(rounds=9, seconds=1))
    assert found.turns == {"a": [0, 1, 2], "b": [0, 1, 2]}
    assert isinstance(found.interrupt, KeyboardInterrupt)


@given(st.floats(0, 100), st.integers(1, 50))
def test_a_turn_is_never_empty_and_never_too_long(one_s: float, most: int) -> None:
    repeats = repeats_for(one_s, 0.1, most)
    assert 1 <= repeats <= most
    assert repeats == 1 or (repeats - 1) * one_s < 0.1


@pytest.mark.parametrize(("one_s", "repeats"), [(0.0, 10), (0.001, 10), (0.03, 4), (0.1, 1), (5.0, 1)])
def test_known_repeats(one_s: float, repeats: int) -> None:
    assert repeats_for(one_s, 0.1, 10) == repeats
