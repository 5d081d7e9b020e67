"""Cheapest cuts, against all cuts of small graphs."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from oakpoint.convert.split.flow import UNCUT, Capacities

PLACES = ["a", "b", "c", "d"]
EDGES = st.lists(
    st.tuples(
        st.sampled_from(["s", *PLACES]), st.sampled_from([*PLACES, "t"]), st.sampled_from([0, 1, 2, 3, 7, UNCUT])
    ),
    max_size=14,
)


def cost(edges: list[tuple[str, str, int]], side: set[str]) -> int:
    return sum(capacity for start, end, capacity in edges if start in side and end not in side)


@given(EDGES)
def test_no_cut_is_cheaper_and_no_other_leaves_the_source_more(edges: list[tuple[str, str, int]]) -> None:
    graph = Capacities("s", "t")
    for edge in edges:
        graph.add(*edge)
    known = {name for start, end, _ in edges for name in (start, end)} - {"s", "t"}
    found = graph.source_side()
    sides = [{"s", *chosen} for n in range(len(known) + 1) for chosen in itertools.combinations(sorted(known), n)]
    least = min(cost(edges, side) for side in sides)
    if least >= UNCUT:
        return
    assert "t" not in found
    assert cost(edges, found) == least
    assert len(found) == max(len(side) for side in sides if cost(edges, side) == least)
