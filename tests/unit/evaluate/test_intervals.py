from __future__ import annotations

import numpy as np
import pytest

from oakpoint.evaluate.intervals import Figure, difference, estimate

MEAN = Figure("m", "m", "", "v", "mean", "higher")
MEDIAN = Figure("t", "t", "ms", "v", "median", "lower")
AUC = Figure("a", "a", "", "v", "auc", "higher", 3.0)


def test_the_interval_of_a_mean_is_that_of_its_standard_error(rng):
    values = rng.normal(5, 2, 400)
    found = estimate(MEAN, values, seed=0)
    assert found.value == values.mean()
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.03)
    assert found.pairs == 400


def test_intervals_cover_the_truth_about_as_often_as_they_say(rng):
    covered = 0
    for seed in range(200):
        found = estimate(MEAN, rng.normal(0, 1, 40), seed=seed, resamples=500)
        covered += found.low <= 0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize("figure", [MEAN, MEDIAN, AUC])
def test_values_without_spread_have_an_interval_without_width(figure):
    found = estimate(figure, np.full(7, 1.5), seed=0)
    assert found.low == found.value == found.high


def test_the_same_seed_gives_the_same_interval(rng):
    values = rng.normal(size=30)
    assert estimate(MEAN, values, seed=3) == estimate(MEAN, values, seed=3)
    assert estimate(MEAN, values, seed=3) != estimate(MEAN, values, seed=4)


def test_pairs_without_a_value_are_left_out():
    found = estimate(MEAN, np.array([1.0, np.nan, 3.0]), seed=0)
    assert (found.value, found.pairs) == (2.0, 2)
    for values in (np.full(4, np.nan), np.zeros(0)):
        nothing = estimate(MEAN, values, seed=0)
        assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
        assert nothing.pairs == 0


def test_rows_of_which_nothing_is_known_have_no_figure():
    rows = np.array([[1.0, np.nan, 3.0], [np.nan] * 3, [5.0, 6.0, 10.0]])
    np.testing.assert_array_equal(MEAN.of_rows(rows), [2.0, np.nan, 7.0])
    np.testing.assert_array_equal(MEDIAN.of_rows(rows), [2.0, np.nan, 6.0])


def test_one_pair_says_nothing_of_spread():
    found = estimate(MEAN, np.array([4.0]), seed=0)
    assert found.value == 4.0
    assert np.isnan([found.low, found.high]).all()


def test_infinite_errors_count_in_an_area():
    assert estimate(AUC, np.array([np.inf, 0.0]), seed=0).value == 0.5


def test_a_paired_difference_sees_what_single_intervals_hide(rng):
    hardness = rng.normal(0, 10, 50)  # what makes a pair hard for both
    a, b = hardness + rng.normal(0, 0.1, 50), hardness + 0.5 + rng.normal(0, 0.1, 50)
    single_a, single_b = estimate(MEAN, a, seed=0), estimate(MEAN, b, seed=0)
    assert single_a.high > single_b.low  # they overlap
    found = difference(MEAN, b, a, seed=0)
    assert found.value == pytest.approx(b.mean() - a.mean())
    assert found.low > 0.4
    assert found.high < 0.6
    assert found.excludes_zero
    assert not difference(MEAN, a, a, seed=0).excludes_zero


def test_a_difference_rests_on_the_pairs_that_both_have():
    a, b = np.array([1.0, np.nan, 5.0]), np.array([2.0, 7.0, np.nan])
    found = difference(MEAN, b, a, seed=0)
    assert (found.value, found.pairs) == (1.0, 1)
