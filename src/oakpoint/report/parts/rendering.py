"""A page through its templates; the one import of Jinja2."""

from __future__ import annotations

import re
from functools import cache
from itertools import count

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from oakpoint.report.parts.blocks import Cell, Page
from oakpoint.report.parts.pictures import Level
from oakpoint.report.parts.texts import shown

_ID = re.compile(r'\bid="([^"]+)"')
_REFERENCE = re.compile(r'(url\(#|href="#)([^")]+)')


def rendered(page: Page, level: Level) -> str:
    """The page as HTML, its pictures and texts as large as a level allows."""
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
