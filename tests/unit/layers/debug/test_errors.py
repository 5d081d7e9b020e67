"""Which errors are a layer's fault, and which are rounding."""

from __future__ import annotations

import numpy as np
import pytest

from oakpoint.layers.debug.errors import OWN_LIMITS, LayerError, Measured
from oakpoint.layers.debug.looking import in_fp16
from oakpoint.layers.debug.regions import region_facts, region_of
from oakpoint.verify.tolerances import BLOB_STAGE, ONNX_STAGE

RNG = np.random.default_rng(1)
VALUES = RNG.normal(0, 1, (1, 64, 16, 16)).astype(np.float32)
ROUNDED = in_fp16(VALUES)


def judged(own: np.ndarray, grown: np.ndarray | None = None, given: tuple[LayerError, ...] = ()) -> LayerError:
    measured = Measured()
    measured.add("picture", VALUES, own if grown is None else grown, own, [ROUNDED])
    return measured.result("tensor", VALUES.shape, (), OWN_LIMITS[BLOB_STAGE], given)


def test_rounding_is_no_fault() -> None:
    found = judged(ROUNDED)
    assert found.kind == "fine"
    assert found.own == pytest.approx(found.own)
    assert 1e-5 < found.own.mean_square < 1e-3


@pytest.mark.parametrize(
    ("place", "factor"), [((0, 3), 0.0), ((0, slice(None), 0), 0.5), ((0, slice(None), 4, 5), 2.0), ((0, 7, 3, 3), 9.0)]
)
def test_a_channel_a_row_a_place_and_a_value_are_seen_among_many(place: tuple[object, ...], factor: float) -> None:
    own = ROUNDED.copy()
    own[place] *= factor
    assert judged(own).kind == "jump"


def test_a_channel_that_is_slightly_off_is_seen_by_itself() -> None:
    own = ROUNDED.copy()
    own[0, 3] *= 1.006
    found = judged(own)
    assert found.own.mean_square < OWN_LIMITS[BLOB_STAGE].mean_square, "among all it is not"
    assert found.kind == "jump"


def test_what_grew_before_is_not_the_layers_fault() -> None:
    grown = VALUES + RNG.normal(0, 0.3, VALUES.shape).astype(np.float32)
    assert judged(ROUNDED, grown).kind == "amplified", "nothing before it was off"
    before = judged(ROUNDED, grown)
    assert judged(ROUNDED, grown, (before,)).kind == "fine"
    assert not before.at_fault


def test_the_first_values_that_are_no_numbers() -> None:
    broken = ROUNDED.copy()
    broken[0, 0, 0, 0] = np.nan
    first = judged(broken)
    assert (first.kind, first.not_finite, first.at_fault) == ("not finite", 1, True)
    begins = judged(ROUNDED, broken)
    assert (begins.kind, begins.not_finite) == ("not finite", 0)
    assert judged(ROUNDED, broken, (begins,)).kind != "not finite", "it was given them"


def test_nothing_is_said_of_what_the_reference_does_not_know() -> None:
    expected = VALUES.copy()
    expected[0, 0] = np.inf
    measured = Measured()
    measured.add("picture", expected, ROUNDED, ROUNDED, ())
    found = measured.result("tensor", VALUES.shape, (), OWN_LIMITS[ONNX_STAGE], ())
    assert (found.reference_not_finite, found.not_finite) == (256, 0)


def test_the_image_on_which_it_is_worst_is_remembered() -> None:
    measured = Measured()
    worse = ROUNDED.copy()
    worse[0, 0, 0, 0] += 3
    for name, own in (("good", ROUNDED), ("bad", worse), ("fair", ROUNDED)):
        measured.add(name, VALUES, own, own, [ROUNDED])
    assert measured.result("tensor", VALUES.shape, (), OWN_LIMITS[BLOB_STAGE], ()).worst_image == "bad"


def test_a_region_in_pixels_of_the_network_input() -> None:
    expected = np.zeros((2, 10, 20), np.float32)
    got = expected.copy()
    got[1, 2:4, 5:9] = 1
    got[1, 3, 6] = 1.5
    picture = np.zeros((80, 160), np.uint8)
    region = region_of(expected, got, picture, "a.png")
    assert region is not None
    assert region.box == (40, 16, 72, 32)
    assert (region.rows, region.columns, region.channel) == ((2, 3), (5, 8), 1)
    assert (region.expected, region.got) == (0.0, 1.5)
    assert set(region_facts(region)) == {"image", "box", "rows", "columns", "channel", "expected", "got"}
    assert region_of(expected, expected, picture, "a.png") is None
    assert region_of(expected[:, 0], got[:, 0], picture, "a.png") is None, "no map"
