from __future__ import annotations

import numpy as np
import pytest

from oakpoint.evaluate.figures import Figure
from oakpoint.evaluate.intervals import Sample, difference, estimate, estimates

MEAN = Figure("m", "m", "", "v", "mean", "higher")
MEDIAN = Figure("t", "t", "ms", "v", "median", "lower")
AUC = Figure("a", "a", "", "v", "auc", "higher", 3.0)


def apart(count):
    """As many sequences, of one pair each."""
    return [f"s{index}" for index in range(count)]


def five_each(count):
    """As many sequences, of five pairs each."""
    return [f"s{index // 5}" for index in range(5 * count)]


def test_the_interval_of_a_mean_is_that_of_its_standard_error(rng):
    values = rng.normal(5, 2, 400)
    found = estimate(MEAN, values, apart(len(values)), seed=0)
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.03)
    assert found.pairs == 400


def test_intervals_cover_the_truth_about_as_often_as_they_say(rng):
    covered = 0
    for seed in range(200):
        found = estimate(MEAN, rng.normal(0, 1, 40), apart(40), seed=seed, resamples=500)
        covered += found.low <= 0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("figure", [MEAN, MEDIAN, AUC])
def test_values_without_spread_have_an_interval_without_width(figure):
    found = estimate(figure, np.full(7, 1.5), apart(7), seed=0)
    assert found.low == found.value == found.high


def test_the_same_seed_gives_the_same_interval(rng):
    values = rng.normal(size=30)
    assert estimate(MEAN, values, apart(len(values)), seed=3) == estimate(MEAN, values, apart(len(values)), seed=3)
    assert estimate(MEAN, values, apart(len(values)), seed=3) != estimate(MEAN, values, apart(len(values)), seed=4)


def test_pairs_without_a_value_are_left_out():
    found = estimate(MEAN, np.array([1.0, np.nan, 3.0]), apart(3), seed=0)
    assert (found.value, found.pairs) == (2.0, 2)
    for values in (np.full(4, np.nan), np.zeros(0)):
        nothing = estimate(MEAN, values, apart(len(values)), seed=0)
        assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
        assert nothing.pairs == 0


def test_one_pair_says_nothing_of_spread():
    found = estimate(MEAN, np.array([4.0]), ["s"], seed=0)
    assert found.value == 4.0
    assert np.isnan([found.low, found.high]).all()


def test_infinite_errors_count_in_an_area():
    assert estimate(AUC, np.array([np.inf, 0.0]), apart(2), seed=0).value == 0.5


def test_a_paired_difference_sees_what_single_intervals_hide(rng):
    hardness = rng.normal(0, 10, 50)  # what makes a pair hard for both
    a, b = hardness + rng.normal(0, 0.1, 50), hardness + 0.5 + rng.normal(0, 0.1, 50)
    single_a, single_b = (estimate(MEAN, values, apart(50), seed=0) for values in (a, b))
    assert single_a.high > single_b.low  # they overlap
    found = difference(MEAN, b, a, apart(len(a)), seed=0)
    assert found.value == pytest.approx(b.mean() - a.mean())
    assert found.low > 0.4
    assert found.high < 0.6
    assert found.excludes_zero
    assert not difference(MEAN, a, a, apart(50), seed=0).excludes_zero


def test_a_difference_rests_on_the_pairs_that_both_have():
    a, b = np.array([1.0, np.nan, 5.0]), np.array([2.0, 7.0, np.nan])
    found = difference(MEAN, b, a, apart(len(a)), seed=0)
    assert (found.value, found.pairs) == (1.0, 1)


def correlated(rng, sequences):
    """Values of five pairs a sequence, about 0: what the pairs of one share varies three times as much as they do."""
    return np.repeat(rng.normal(0, 3, sequences), 5) + rng.normal(0, 1, 5 * sequences)


def test_intervals_over_sequences_cover_where_those_over_pairs_do_not(rng):
    over_sequences = over_pairs = 0
    for seed in range(200):
        values = correlated(rng, 30)
        by_sequence = estimate(MEAN, values, five_each(30), seed=seed, resamples=500)
        by_pair = estimate(MEAN, values, apart(150), seed=seed, resamples=500)
        over_sequences += by_sequence.low <= 0 <= by_sequence.high
        over_pairs += by_pair.low <= 0 <= by_pair.high
    assert 0.88 <= over_sequences / 200 <= 0.99
    assert over_pairs / 200 < 0.75


def test_a_paired_difference_covers_its_truth_over_sequences(rng):
    covered = 0
    for seed in range(200):
        hardness, effect = np.repeat(rng.normal(0, 10, 30), 5), 1 + correlated(rng, 30)
        found = difference(MEAN, hardness + effect, hardness, five_each(30), seed=seed, resamples=500)
        covered += found.low <= 1 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("figure", [MEAN, MEDIAN, AUC])
def test_one_sequence_has_no_interval(figure, rng):
    values = np.abs(rng.normal(size=20))
    found = estimate(figure, values, ["s"] * 20, seed=0)
    assert found.value == figure.of(values)
    assert (found.pairs, found.sequences) == (20, 1)
    assert np.isnan([found.low, found.high]).all()
    assert not found.excludes_zero


def test_sequences_without_a_value_are_not_counted(rng):
    values = rng.normal(size=15)
    values[5:] = np.nan
    found = estimate(MEAN, values, five_each(3), seed=0)
    assert (found.pairs, found.sequences) == (5, 1)
    assert np.isnan(found.low)


def test_several_figures_are_what_each_is_by_itself(rng):
    """All rest on the same draws; none hangs on which others are asked for."""
    values, baseline = rng.uniform(0, 5, (2, 50))
    baseline[::7] = np.nan
    samples = [Sample(figure, values, baseline) for figure in (MEAN, MEDIAN, AUC)]
    found = estimates(samples, five_each(10), seed=1, resamples=300)
    for sample, one in zip(samples, found, strict=True):
        assert one.estimate == estimate(sample.figure, values, five_each(10), seed=1, resamples=300)
        assert one.difference == difference(sample.figure, values, baseline, five_each(10), seed=1, resamples=300)


def test_every_draw_is_reported():
    done = []
    estimates([Sample(MEAN, np.ones(4))], apart(4), seed=0, resamples=123, progress=done.append)
    assert sum(done) == 123
