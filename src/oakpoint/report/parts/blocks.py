"""What stands on a page: plain frozen descriptions, each with a template of its own in ``templates/blocks``.

Every text is shown as it is, whatever is in it; only ``Drawn`` holds markup, which code of oakpoint has made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from oakpoint.report.parts.pictures import Picture

Tone = Literal["pass", "fail", "open", "plain"]
"""What something came to: good, bad, not decided; or nothing of that kind."""


class Block:
    """Something on a page.

    Attributes:
        template: name of its template.
    """

    __slots__ = ()
    template: ClassVar[str]


Cell = str | Block
"""What stands in a table's cell, or in a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words(Block):
    """A paragraph.

    Attributes:
        parts: texts and small blocks, one after the other.
        faint: whether it is an aside.
    """

    template: ClassVar[str] = "words"
    parts: Sequence[Cell]
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Code(Block):
    """A name, hash or command, to be read letter by letter.

    Attributes:
        text: the text.
        long: whether it stands on lines of its own.
    """

    template: ClassVar[str] = "code"
    text: str
    long: bool = False


@dataclass(frozen=True, slots=True)
class Badge(Block):
    """A verdict in a word, told by colour, sign and word alike."""

    template: ClassVar[str] = "badge"
    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class Link(Block):
    """A link to a section of the same page, by its key."""

    template: ClassVar[str] = "link"
    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Bar(Block):
    """A share in [0, 1] as a bar, and in words."""

    template: ClassVar[str] = "bar"
    share: float
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Lines(Block):
    """Several lines in one cell; with ``aside`` those after the first say something on the side."""

    template: ClassVar[str] = "lines"
    lines: Sequence[Cell]
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """Heading of a column; numbers stand at its right."""

    title: str
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Block):
    """Rows under headings; the first cell of a row is what the row is about.

    Attributes:
        caption: what it shows, in a few words.
        columns: from the left.
        rows: cells in the order of the columns.
        left_out: how many rows are not shown.
    """

    template: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Entries(Block):
    """Terms, each with what it is."""

    template: ClassVar[str] = "entries"
    items: Sequence[tuple[str, Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn(Block):
    """A drawing.

    Attributes:
        svg: an ``<svg>`` element, perhaps with its legend before it, safe to show; its ids are made unique on the page.
        label: what is seen, for those who do not see it.
        caption: below it.
        wide: whether it is scrolled sideways on a narrow screen, where its words could not be read.
    """

    template: ClassVar[str] = "drawn"
    svg: str
    label: str
    caption: str = ""
    wide: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Still(Block):
    """A picture.

    Attributes:
        picture: the picture.
        label: what is seen, for those who do not see it.
        caption: below it.
    """

    template: ClassVar[str] = "still"
    picture: Picture
    label: str
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Marks over a picture that can be shown and hidden.

    Attributes:
        name: beside its switch.
        note: in a few words, what is in it.
        marks: SVG elements in pixels of the picture, safe to show.
        tone: of differences; ``plain`` for what was found.
        shown: whether it is seen at first.
    """

    name: str
    note: str
    marks: str
    tone: Tone = "plain"
    shown: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay(Block):
    """A picture with layers of marks over it.

    Attributes:
        picture: the picture.
        layers: the first one lowest.
        label: what is seen, for those who do not see it.
        caption: below it.
    """

    template: ClassVar[str] = "overlay"
    picture: Picture
    layers: Sequence[Layer]
    label: str
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded(Block):
    """Blocks behind a line that opens them."""

    template: ClassVar[str] = "folded"
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page with a heading.

    Attributes:
        key: by which links name it: letters, digits and «-»; no two of a page are the same.
        title: the heading.
        blocks: what stands below it.
        badge: beside the heading.
        sections: with smaller headings, below the blocks.
    """

    key: str
    title: str
    blocks: Sequence[Block] = ()
    badge: Badge | None = None
    sections: Sequence[Section] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A report.

    Attributes:
        command: that it is the report of, such as ``oakpoint convert``.
        title: what it is about.
        verdict: what it came to.
        summary: that in a sentence.
        notices: what has to be known of everything here, such as random weights.
        entries: facts for a first look.
        sections: the rest.
        made_by: the last line.
    """

    command: str
    title: str
    verdict: Badge
    summary: str
    entries: Sequence[tuple[str, Cell]] = ()
    notices: Sequence[str] = ()
    sections: Sequence[Section] = field(default_factory=tuple)
    made_by: str = ""
