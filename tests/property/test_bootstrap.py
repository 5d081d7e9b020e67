from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.evaluate import bootstrap
from oakpoint.evaluate.bootstrap import draws, numbered, resampled
from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import estimate

FIGURES = [
    Figure("m", "m", "", "v", "mean", None),
    Figure("t", "t", "ms", "v", "median", None),
    Figure("a", "a", "", "v", "auc", None, 3.0),
]
seeds = st.integers(0, 2**32 - 1)
values_of_pairs = st.lists(st.floats(0, 6) | st.sampled_from([1.0, 3.0, float("nan")]), min_size=1, max_size=25)


@st.composite
def pairs_of_sequences(draw, infinite=False):
    """Values of pairs, and the sequence of each, in any order."""
    values = np.array(draw(values_of_pairs))
    if infinite:
        values[draw(st.lists(st.integers(0, len(values) - 1), max_size=3))] = np.inf
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=len(values), max_size=len(values)))
    return values, names


def drawn_out(values, sequence_of_pair, counts):
    """The pairs of a draw, each as often as its sequence was drawn."""
    return np.repeat(values, counts[sequence_of_pair].astype(int))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.statistic)
@given(st.data(), seeds)
def test_a_figure_on_a_draw_is_that_of_the_pairs_written_out(figure, data, seed):
    values, names = data.draw(pairs_of_sequences(infinite=figure.statistic == "auc"))
    sequence_of_pair = numbered(names)
    sequences = len(set(names))
    (drawn,) = draws(sequences, pairs=len(values), seed=seed, resamples=20)
    assert (drawn.sum(axis=1) == sequences).all()
    expected = [figure.of(drawn_out(values, sequence_of_pair, counts)) for counts in drawn]
    np.testing.assert_allclose(resampled(figure, values, sequence_of_pair)(drawn), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.statistic)
@given(values_of_pairs, seeds)
def test_with_a_pair_a_sequence_it_is_the_plain_bootstrap(figure, values, seed):
    """As it is written in Efron and Tibshirani: draw n pairs, take the figure, read off the quantiles."""
    values = np.array(values)
    known = values[~np.isnan(values)]
    found = estimate(figure, values, [str(index) for index in range(len(values))], seed=seed, resamples=100)
    if len(known) < 2:
        assert np.isnan([found.low, found.high]).all()
        return
    rows = np.random.default_rng(seed).integers(0, len(values), (100, len(values)))
    plain = np.array([figure.of(values[row]) for row in rows])
    low, high = np.quantile(plain[~np.isnan(plain)], [0.025, 0.975])
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("figure", FIGURES[:2], ids=lambda figure: figure.statistic)
@given(pairs_of_sequences(), st.integers(2, 5), seeds)
def test_pairs_that_are_there_several_times_tell_nothing_more(figure, made, times, seed):
    values, names = made
    once = estimate(figure, values, names, seed=seed, resamples=100)
    often = estimate(figure, np.repeat(values, times), list(np.repeat(names, times)), seed=seed, resamples=100)
    assert often.sequences == once.sequences
    np.testing.assert_allclose([often.low, often.high], [once.low, once.high], rtol=1e-9, atol=1e-12)


@given(seeds, st.integers(1, 12))
def test_draws_do_not_hang_on_how_many_are_made_at_once(seed, sequences):
    (whole,) = draws(sequences, pairs=1, seed=seed, resamples=40)
    parts = list(draws(sequences, pairs=bootstrap._ELEMENTS_AT_ONCE // 7, seed=seed, resamples=40))
    assert len(parts) == 6
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(pairs_of_sequences(), seeds)
def test_what_a_sequence_is_called_does_not_matter(made, seed):
    values, names = made
    called = [f"photograph {name}" for name in names]
    assert numbered(names).tolist() == numbered(called).tolist()
    first = [estimate(figure, values, names, seed=seed, resamples=100) for figure in FIGURES]
    second = [estimate(figure, values, called, seed=seed, resamples=100) for figure in FIGURES]
    assert str(first) == str(second)  # NaN is not equal to itself
