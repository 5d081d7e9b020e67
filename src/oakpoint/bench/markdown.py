"""Tables in Markdown, for pages of documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are in one line each, whatever stands in them."""
    lines = (f"| {' | '.join(map(_cell, row))} |" for row in rows)
    return "\n".join([f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}", *lines]) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
