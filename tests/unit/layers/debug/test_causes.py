"""What an error looks like, from the two tensors alone."""

from __future__ import annotations

import numpy as np
import pytest

from oakpoint.layers.debug.causes import Alternative, cause_of

RNG = np.random.default_rng(0)
MAP = RNG.normal(0, 1, (8, 24, 32)).astype(np.float32)
POSITIVE = np.abs(MAP)


def shifted(down: int, right: int) -> np.ndarray:
    return np.roll(MAP, (down, right), axis=(1, 2))


def border() -> np.ndarray:
    got = MAP.copy()
    got[:, 0], got[:, -1], got[:, :, 0], got[:, :, -1] = 0, 0, 0, 0
    return got


def part(rows: slice, columns: slice, channels: slice = slice(None)) -> np.ndarray:
    got = MAP.copy()
    got[channels, rows, columns] += 1
    return got


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        (np.maximum(MAP, 0), MAP, "no ReLU, or one that lets"),
        (MAP, np.maximum(MAP, 0), "a ReLU too many"),
        (MAP, np.clip(MAP, -0.5, 0.7), "cut off at -0.5 and 0.7"),
        (MAP, -MAP, "the other sign"),
        (POSITIVE, POSITIVE * 255, "255 times what it should be"),
        (POSITIVE, POSITIVE / 255, "0.003922 times"),
        (MAP, MAP[[1, 0, *range(2, 8)]], "another order: 0 ← 1, 1 ← 0"),
        (MAP, shifted(1, 0), "1 down from where"),
        (MAP, shifted(-1, 2), "2 right 1 up from where"),
        (MAP, border(), "only within 1 of the border"),
        (MAP, part(slice(None), slice(None), slice(3, 4)), "only channel 3 of 8"),
        (MAP, part(slice(4, 9), slice(6, 12)), "only rows 4 to 8, columns 6 to 11"),
        (MAP, RNG.normal(0, 1, MAP.shape).astype(np.float32), "wrong everywhere"),
        (
            np.full((2, 3), 7e4, np.float32),
            np.full((2, 3), np.inf, np.float32),
            "overflow of FP16: it should reach 7e+04",
        ),
        (np.ones((2, 3), np.float32), np.full((2, 3), np.nan, np.float32), "not a number"),
    ],
)
def test_causes(expected: np.ndarray, got: np.ndarray, said: str) -> None:
    assert said in cause_of(expected, got)


def test_noise_beside_a_fault_does_not_hide_it() -> None:
    noisy = shifted(1, 0) + RNG.normal(0, 1e-3, MAP.shape).astype(np.float32)
    assert "1 down" in cause_of(MAP, noisy)


def test_what_a_known_fault_would_give_comes_first() -> None:
    got = np.maximum(MAP, 0)
    known = [Alternative("the pot boiled over", got + 1e-4), Alternative("never", MAP * 3)]
    assert cause_of(MAP, got, known) == "the pot boiled over"
    far = [Alternative("it is another one", got)]
    assert "a ReLU too many" in cause_of(MAP, got, (), far)
    turned = [Alternative("it is another one", MAP[::-1] * 2)]
    assert cause_of(MAP, MAP[::-1] * 2, (), turned).startswith("it is another")


def test_what_the_reference_does_not_know_is_no_error() -> None:
    expected, got = MAP.copy(), np.maximum(MAP, 0)
    expected[0, 0, 0] = np.nan
    got[0, 0, 0] = np.inf
    assert "a ReLU too many" in cause_of(expected, got)
