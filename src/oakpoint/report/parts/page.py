"""A page as the text of one HTML file: no script, no link out of it, under ``LIMIT_BYTES``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from oakpoint.errors import OutputError
from oakpoint.report.parts.blocks import Cell, Page, Section
from oakpoint.report.parts.pictures import LEVELS, Level
from oakpoint.report.parts.texts import shown

LIMIT_BYTES = 2_000_000
"""Of a page: small enough to be sent by mail and opened on a phone."""

_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]+)')


def html_of(page: Page) -> str:
    """The page, its pictures as large as the limit allows; without them and drawings, and with texts cut, if it must.

    Raises:
        OutputError: it is too large even so.
    """
    _require_keys(page)
    for level in LEVELS:
        text = _rendered(page, level)
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


def _rendered(page: Page, level: Level) -> str:
    environment, numbers = _environment(), count(1)

    def show(cell: Cell) -> Markup:
        if isinstance(cell, str):
            return escape(shown(cell, level.characters))
        template = environment.get_template(f"blocks/{cell.template}.html.j2")
        return Markup(template.render(block=cell, show=show, level=level, numbers=numbers))  # noqa: S704 - escaped there

    style = Markup(_style())  # noqa: S704 - a file of ours
    text = environment.get_template("page.html.j2").render(page=page, show=show, level=level, style=style)
    text = text.strip() + "\n"
    return text.encode("utf-8", "backslashreplace").decode()  # paths may hold other bytes


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("oakpoint.report.parts"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"own_ids": own_ids, "next_number": next, "shortened": _shortened}
    return environment


@cache
def _style() -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, "style.css")[0]


@pass_context
def _shortened(context: Context, text: str) -> str:
    return shown(text, context["level"].characters)


def own_ids(svg: str, number: int) -> Markup:
    """An ``<svg>`` element whose ids, and what refers to them, begin with ``d`` and a number that no other has."""
    known = set(_ID.findall(svg))
    svg = _ID.sub(lambda found: f'id="d{number}-{found[1]}"', svg)
    return Markup(  # noqa: S704 - drawn by code of ours
        _REFERENCE.sub(lambda found: f"{found[1]}d{number}-{found[2]}" if found[2] in known else found[0], svg)
    )
