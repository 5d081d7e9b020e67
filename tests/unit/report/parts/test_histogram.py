"""The histogram: every finite value is in the bin that it belongs to, and none is outside."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.report.parts.histogram import histogram


def heights(svg: str) -> list[list[float]]:
    """Heights of the steps of each line, as shares of the highest."""
    paths = re.findall(r'<path d="M0 1((?:V[\d.]+h1)+)V1" fill="none"', svg)
    return [[1 - float(y) for y in re.findall(r"V([\d.]+)h1", path)] for path in paths]


def test_values_are_in_their_bins() -> None:
    values = {"low": np.full(50, 1.5e-7), "high": np.array([0.5e-2] * 25)}
    low, high = heights(histogram(values, value="1 − cosine", count="how many"))
    assert low.index(max(low)) == 4  # four bins a decade from 1e-8 on
    assert high.index(max(high)) == 22
    assert max(low) == 1
    assert max(high) == pytest.approx(0.5)


@given(st.lists(st.floats(0, 2), min_size=1, max_size=40))
def test_every_value_is_counted_once(values: list[float]) -> None:
    together = [*values, *[1e-9] * 100]  # a known count, which is that of the highest bin
    (line,) = heights(histogram({"a": np.array(together)}, value="v", count="n"))
    most = sum(value < 10**-7.75 for value in together)
    assert round(sum(line) * most) == len(together)


def test_nothing_and_what_is_no_number_is_not_drawn() -> None:
    series = {"a": np.zeros(0), "b": np.array([np.nan, np.inf, 0.0])}
    empty, one = heights(histogram(series, value="v", count="n"))
    assert sum(empty) == 0
    assert [height for height in one if height] == [1.0]
    assert one[0] == 1  # the first bin holds what is nothing


def test_names_are_words() -> None:
    svg = histogram({"<b>": np.ones(1)}, value="$\\frac{<i>", count="<u>")
    assert not re.search(r"<[biu]>", svg)
    assert "$\\frac{&lt;i&gt;" in svg


def test_its_words_keep_their_size_and_the_ticks_are_round() -> None:
    svg = histogram({"a": np.full(3000, 0.1)}, value="v", count="n")
    assert "≤ 10⁻⁸" in svg
    assert ">2,000<" in svg
    assert not re.search(r'<svg class="plot[^>]*viewBox', svg)
