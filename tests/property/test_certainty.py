"""What is certain of keypoints, against heat maps drawn at random within the error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oakpoint.features.decode import decode
from oakpoint.features.types import DecodeOptions, HeatmapOutputs
from oakpoint.tasks.keypoints.certainty import certainty_of

CELLS = (3, 4)
SIZE = (8 * CELLS[0], 8 * CELLS[1])


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, float, DecodeOptions, np.random.Generator]:
    """A heat map, rough or smooth or of few levels, an error, options, and randomness for the test."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["rough", "smooth", "levels", "sparse"]))
    if kind == "smooth":
        slopes = rng.normal(size=2) * 0.2
        ramp = slopes[0] * np.arange(SIZE[0])[:, None] + slopes[1] * np.arange(SIZE[1]) + 0.1 * rng.random(SIZE)
        heatmap = 0.9 * np.exp(ramp - ramp.max())
    elif kind == "levels":
        heatmap = rng.choice([0, 0.1, 0.104, 0.2, 0.5], SIZE)
    else:
        heatmap = rng.random(SIZE) ** (1 if kind == "rough" else 6)
    options = DecodeOptions(
        threshold=draw(st.sampled_from([0.0, 0.1, 0.3])),
        nms_radius_px=draw(st.integers(0, 4)),
        border_px=draw(st.integers(0, 5)),
        max_keypoints=None,
        nms=draw(st.sampled_from(["greedy", "maxpool"])),
        sampling="original",
    )
    return heatmap.astype(np.float32), draw(st.sampled_from([0.0, 1e-3, 0.02, 0.1, 0.5])), options, rng


def found(heatmap: np.ndarray, options: DecodeOptions) -> np.ndarray:
    """The pixels that ``decode`` keeps."""
    features = decode(HeatmapOutputs(heatmap, np.ones((2, *CELLS), np.float32)), options)
    kept = np.zeros(SIZE, bool)
    kept[tuple(features.keypoints.astype(int).T[::-1])] = True
    return kept


@given(cases())
@settings(max_examples=300, deadline=None)
def test_whatever_the_scores_are_within_the_error(
    case: tuple[np.ndarray, float, DecodeOptions, np.random.Generator],
) -> None:
    heatmap, error, options, rng = case
    certainty = certainty_of(heatmap, error + 1e-6, options)  # float32's own rounding of what is drawn below
    assert not (certainty.kept & ~certainty.possible).any()
    for factors in (rng.uniform(-error, error, SIZE), error * rng.choice([-1, 1], SIZE), np.zeros(SIZE)):
        kept = found((heatmap * np.exp(factors)).astype(np.float32), options)
        assert not (certainty.kept & ~kept).any()
        assert not (kept & ~certainty.possible).any()


@given(cases())
@settings(max_examples=100, deadline=None)
def test_without_an_error_and_without_ties_everything_is_certain(
    case: tuple[np.ndarray, float, DecodeOptions, np.random.Generator],
) -> None:
    heatmap, _, options, rng = case
    distinct = (np.argsort(np.argsort(heatmap + 1e-4 * rng.random(SIZE), axis=None)).reshape(SIZE) + 1) / (
        1 + heatmap.size
    )
    certainty = certainty_of(distinct.astype(np.float32), 0.0, options)
    assert (certainty.kept == found(distinct.astype(np.float32), options)).all()
    if options.nms == "greedy":
        assert (certainty.possible == certainty.kept).all()


def test_a_decision_that_rounding_can_turn_is_followed_to_what_hangs_on_it() -> None:
    """Four pixels, each within the radius of the next: the first is the best, by less than the error or not."""
    options = DecodeOptions(
        threshold=0.1, nms_radius_px=2, border_px=0, max_keypoints=None, nms="greedy", sampling="original"
    )
    heatmap = np.zeros(SIZE, np.float32)
    places = [(10, 4), (10, 6), (10, 8), (10, 10)]
    heatmap[tuple(np.transpose(places))] = [0.81, 0.8, 0.6, 0.4]
    clear = certainty_of(heatmap, 0.001, options)
    assert [bool(clear.kept[place]) for place in places] == [True, False, True, False]
    assert (clear.possible == clear.kept).all()
    tied = certainty_of(heatmap, 0.01, options)
    assert not tied.kept.any()
    assert [bool(tied.possible[place]) for place in places] == [True] * 4


@pytest.mark.parametrize(
    ("score", "kept", "possible"),
    [(0.12, True, True), (0.1005, False, True), (0.0995, False, True), (0.09, False, False)],
)
def test_the_threshold_is_a_decision_as_well(score: float, kept: bool, possible: bool) -> None:
    heatmap = np.zeros(SIZE, np.float32)
    heatmap[12, 12] = score
    certainty = certainty_of(heatmap, 0.01, DecodeOptions.preset("superpoint").with_changes(threshold=0.1))
    assert (bool(certainty.kept[12, 12]), bool(certainty.possible[12, 12])) == (kept, possible)
