"""A page as the text of one HTML file: no script, no link out of it, under ``LIMIT_BYTES``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from oakpoint.errors import OutputError
from oakpoint.report.parts.blocks import Page, Section
from oakpoint.report.parts.pictures import LEVELS

LIMIT_BYTES = 2_000_000
"""Of a page: small enough to be sent by mail and opened on a phone."""


def html_of(page: Page) -> str:
    """The page, its pictures as large as the limit allows; without them and drawings, and with texts cut, if it must.

    Raises:
        OutputError: it is too large even so.
    """
    from oakpoint.report.parts.rendering import rendered  # most commands write no page, and need no Jinja2

    _require_keys(page)
    for level in LEVELS:
        text = rendered(page, level)
        if len(text.encode()) <= LIMIT_BYTES:
            return text
    raise OutputError(
        f"{page.command}: the report would have {len(text.encode()):,} bytes without its pictures, and at most "
        f"{LIMIT_BYTES:,} are allowed"
    )


def _require_keys(page: Page) -> None:
    counted = Counter(section.key for section in _all(page.sections))
    twice = [key for key, number in counted.items() if number > 1 or not re.fullmatch(r"[A-Za-z0-9-]+", key)]
    if twice:
        raise ValueError(f"keys of sections: expected letters, digits and «-», each once, got {', '.join(twice)}")


def _all(sections: Sequence[Section]) -> Iterator[Section]:
    for section in sections:
        yield section
        yield from _all(section.sections)
