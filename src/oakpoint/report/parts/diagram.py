"""A diagram of things that are made of one another: boxes, and arrows with what each of them came to.

It is drawn twice, from left to right and from top to bottom; a page shows what fits its width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from markupsafe import Markup, escape

from oakpoint.report.parts.blocks import Block, Tone
from oakpoint.report.parts.texts import shown

_SIGNS: Final[dict[Tone, str]] = {"pass": "✓", "fail": "✕", "open": "?", "plain": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A thing.

    Attributes:
        key: by which others name it.
        name: in its box.
        note: below the name, in a few words.
        parent: key of what it is made of; empty for the first.
        tone: what the arrow to it came to; ``plain``: nothing was compared there, nor was it to be.
        word: that in a word.
        absent: whether it is not there.
    """

    key: str
    name: str
    note: str = ""
    parent: str = ""
    tone: Tone = "plain"
    word: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram(Block):
    """The diagram.

    Attributes:
        nodes: parents before their children.
        label: what is seen, for those who do not see it.
        caption: below it.
    """

    template: ClassVar[str] = "diagram"
    nodes: Sequence[Node]
    label: str
    caption: str = ""

    def svg(self, *, down: bool) -> Markup:
        """An ``<svg>`` element, from left to right or ``down``."""
        return _svg(self.nodes, _DOWN if down else _ACROSS)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes in pixels: of a box; from one box to the next along an arrow, and beside it."""

    box: tuple[int, int]
    along: int
    beside: int
    down: bool
    letters: int


_ACROSS: Final = _Layout((128, 52), 128 + 96, 52 + 26, down=False, letters=17)
_DOWN: Final = _Layout((116, 50), 50 + 50, 116 + 14, down=True, letters=16)
_MARGIN: Final = 3


def _svg(nodes: Sequence[Node], layout: _Layout) -> Markup:
    places = _places(nodes)
    corners = {key: _corner(place, layout) for key, place in places.items()}
    width = max(x for x, _ in corners.values()) + layout.box[0] + _MARGIN
    height = max(y for _, y in corners.values()) + layout.box[1] + _MARGIN
    parts = [_arrow(node, corners[node.parent], corners[node.key], layout) for node in nodes if node.parent]
    parts += [_box(node, corners[node.key], layout) for node in nodes]
    view = f"0 0 {width} {height}"
    kind = "narrow" if layout.down else "broad"
    style = f"max-width:{width}px;margin:0 auto"
    head = f'<svg class="{kind}" viewBox="{view}" style="{style}" aria-hidden="true" focusable="false">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - texts are escaped where they are set


def _places(nodes: Sequence[Node]) -> dict[str, tuple[int, int]]:
    """Step and row of each: a child stands one step behind its parent, the first in the same row."""
    places: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    for node in nodes:
        step, row = (places[node.parent][0] + 1, places[node.parent][1]) if node.parent else (0, 0)
        row = max(row, rows.get(step, -1) + 1)
        places[node.key], rows[step] = (step, row), row
    return places


def _corner(place: tuple[int, int], layout: _Layout) -> tuple[int, int]:
    along, beside = place[0] * layout.along + _MARGIN, place[1] * layout.beside + _MARGIN
    return (beside, along) if layout.down else (along, beside)


def _box(node: Node, corner: tuple[int, int], layout: _Layout) -> str:
    (x, y), (width, height) = corner, layout.box
    look, words = ("absent", "absent-text") if node.absent else ("node", "")
    middle, name, note = x + width / 2, shown(node.name, layout.letters), shown(node.note, layout.letters)
    baseline = y + height / 2 + (-2 if note else 5)
    text = f'<text class="{words}" x="{middle}" y="{baseline}" text-anchor="middle">{escape(name)}</text>'
    if note:
        text += f'<text class="small" x="{middle}" y="{baseline + 17}" text-anchor="middle">{escape(note)}</text>'
    return f'<rect class="{look}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>{text}'


def _arrow(node: Node, start: tuple[int, int], end: tuple[int, int], layout: _Layout) -> str:
    width, height = (float(side) for side in layout.box)
    middle: tuple[float, float]
    x0: float
    y0: float
    x1: float
    y1: float
    if layout.down:
        x0, y0, x1, y1 = start[0] + width / 2, start[1] + height, end[0] + width / 2, end[1]
        bend = f"V{y0 + 12}H{x1}V{y1 - 7}"
        head = f"M{x1 - 5} {y1 - 8}h10l-5 7z"
        middle = x1, (y0 + 12 + y1) / 2 - 2
    else:
        x0, y0, x1, y1 = start[0] + width, start[1] + height / 2, end[0], end[1] + height / 2
        bend = f"H{x0 + 12}V{y1}H{x1 - 7}"
        head = f"M{x1 - 8} {y1 - 5}v10l7-5z"
        middle = (x0 + 12 + x1 - 7) / 2, y1
    line = f'<path class="arrow" d="M{x0} {y0}{bend}"/><path class="head" d="{head}"/>'
    if node.tone == "plain" or not node.word:
        return line
    word = f"{_SIGNS[node.tone]} {shown(node.word, layout.letters)}"
    wide = 7.2 * len(word) + 12
    return (
        f'{line}<rect class="tone-{node.tone}" x="{middle[0] - wide / 2:.1f}" y="{middle[1] - 10:.1f}" '
        f'width="{wide:.1f}" height="20" rx="10"/><text class="small word-{node.tone}" x="{middle[0]:.1f}" '
        f'y="{middle[1] + 4:.1f}" text-anchor="middle">{escape(word)}</text>'
    )
