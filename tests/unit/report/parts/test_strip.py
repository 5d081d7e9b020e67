"""The strip: pieces as long as they last, whatever the width of the page."""

from __future__ import annotations

import re

import pytest

from oakpoint.report.parts.strip import Piece, strip_svg

COLOURS = {"a": "#111111", "b": "#222222"}


def test_pieces_are_as_long_as_they_last_and_stand_where_they_begin() -> None:
    svg = strip_svg([Piece(0.0, 1.0, "a", "first <b>"), Piece(1.0, 3.0, "b", "second")], COLOURS, unit="ms")
    found = re.findall(r'<rect x="([\d.]+)%" width="([\d.]+)%" height="56" fill="(#\d+)"', svg)
    assert [(float(x), colour) for x, _, colour in found] == [(0.0, "#111111"), (25.0, "#222222")]
    assert [float(width) for _, width, _ in found] == pytest.approx([25.0, 75.0], abs=0.1)
    assert "first &lt;b&gt;" in svg
    assert "estimated time / ms" in svg


def test_its_words_keep_their_size() -> None:
    assert "viewBox" not in strip_svg([Piece(0.0, 1.0, "a", "")], COLOURS, unit="ms")


def test_a_strip_of_nothing_has_its_legend_and_its_axis() -> None:
    svg = strip_svg([], COLOURS, unit="ms")
    assert svg.count("<li ") == 2
    assert "<svg" in svg
