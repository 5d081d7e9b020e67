from __future__ import annotations

import math

from oakpoint.report.pages.evaluation import MOST_SEQUENCES, _shown_sequences


def test_few_sequences_have_all_their_bars():
    means = [{"b": 0.5, "a": math.nan}, {"b": 0.25, "a": 1.0}]
    assert _shown_sequences(means) == (["b", "a"], "each sequence")


def test_of_many_sequences_the_hardest_have_bars():
    means = [{f"s{n}": n / 1000 for n in range(200)}, {f"s{n}": 1.0 if n < 20 else 0.0 for n in range(200)}]
    shown, which = _shown_sequences(means)
    assert shown == [f"s{n}" for n in range(20, 20 + MOST_SEQUENCES)]
    assert which == f"the {MOST_SEQUENCES} hardest of 200 sequences"
