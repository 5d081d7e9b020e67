"""A page is one file: it escapes what it shows, loads nothing, runs nothing, and keeps its limit."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from oakpoint.errors import OutputError
from oakpoint.report.parts import page as page_module
from oakpoint.report.parts.blocks import (
    Badge,
    Bar,
    Block,
    Code,
    Column,
    Drawn,
    Entries,
    Folded,
    Layer,
    Lines,
    Link,
    Overlay,
    Page,
    Section,
    Still,
    Table,
    Words,
)
from oakpoint.report.parts.diagram import Diagram, Node
from oakpoint.report.parts.page import LIMIT_BYTES, html_of
from oakpoint.report.parts.pictures import LEVELS, Picture

EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
SVG = '<svg viewBox="0 0 9 9"><defs><clipPath id="a"><rect width="9" height="9"/></clipPath></defs><g clip-path="url(#a)"><use href="#a"/></g></svg>'  # noqa: E501


def picture(width: int = 60, height: int = 40) -> Picture:
    return Picture(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def every_block(text: str) -> list[Block]:
    """One of each kind, with the text wherever a text stands."""
    table = Table(caption=text, columns=[Column(text), Column("n", number=True)], rows=[[text, Code(text)]], left_out=3)
    layers = [Layer(name=text, note=text, marks='<path class="mark found" d="M1 1h0"/>')]
    return [
        Words(parts=[text, Code(text), Badge("fail", text)], faint=True),
        Code(text, long=True),
        Link("one", text),
        Bar(0.5, text, "open"),
        Lines([text, Badge("pass", text)], aside=True),
        table,
        Entries([(text, text)]),
        Drawn(svg=SVG, label=text, caption=text),
        Still(picture=picture(), label=text, caption=text),
        Overlay(picture=picture(), layers=layers, label=text, caption=text),
        Folded(title=text, blocks=[replace(table, caption=f"{text} again")]),
        Diagram(
            nodes=[
                Node(key="a", name=text, note=text),
                Node(key="b", name=text, parent="a", tone="fail", word=text),
                Node(key="c", name=text, parent="a", absent=True),
            ],
            label=text,
            caption=text,
        ),
    ]


def page_with(blocks: list[Block], text: str = "words") -> Page:
    return Page(
        command="oakpoint test",
        title=text,
        verdict=Badge("pass", text),
        summary=text,
        notices=[text],
        entries=[(text, text)],
        sections=[
            Section(key="one", title=text, blocks=blocks, badge=Badge("open", text)),
            Section(key="two", title=text, blocks=[Drawn(svg=SVG, label=text)]),
        ],
        made_by=text,
    )


class Seen(HTMLParser):
    """Gathers the tags of a page with their attributes, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute)) is not None]


def test_every_kind_of_block_is_in_the_test() -> None:
    kinds = {kind.__name__ for kind in Block.__subclasses__()}
    assert kinds - {type(block).__name__ for block in every_block("")} == {"Badge"}  # it stands within others


def test_no_text_becomes_markup() -> None:
    text = html_of(page_with(every_block(EVIL), EVIL))
    seen = Seen(text)
    assert not [tag for tag, _ in seen.tags if tag in ("script", "iframe", "object", "link", "base", "form")]
    assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")]
    assert "alert(2)" in seen.words
    assert not [uri for uri in seen.values("src") if not uri.startswith("data:image/")]
    assert len(seen.tags) == len(Seen(html_of(page_with(every_block("words"), "words"))).tags)


def test_nothing_is_loaded_and_the_page_says_that_nothing_may_be() -> None:
    text = html_of(page_with(every_block("words")))
    seen = Seen(text)
    policy = next(a["content"] for tag, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    for link in seen.values("href") + seen.values("src"):
        assert link.startswith(("#", "data:image/")), link
    assert not re.search(r"https?://|@import|url\((?!#)", text)


def test_ids_are_there_once_and_links_within_the_page_lead_somewhere() -> None:
    seen = Seen(html_of(page_with(every_block("words"))))
    ids = seen.values("id")
    assert len(ids) == len(set(ids))
    targets = [link[1:] for link in seen.values("href") if link.startswith("#")]
    targets += re.findall(r"url\(#([^)]+)\)", " ".join(seen.values("clip-path"))) + seen.values("for")
    assert len(targets) > 6
    assert set(targets) <= set(ids)


def test_a_page_is_the_same_twice() -> None:
    assert html_of(page_with(every_block("words"))) == html_of(page_with(every_block("words")))


def test_pictures_are_made_smaller_until_a_page_keeps_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "LIMIT_BYTES", 300_000)
    few, many = ([Still(picture=picture(400, 300), label="noise")] * count for count in (1, 6))
    small, large = (html_of(page_with(list(blocks))) for blocks in (few, many))
    assert len(large.encode()) <= 300_000
    assert large.count("data:image/webp") == 6
    first = [max(re.findall(r"data:image/webp[^\"]*", text), key=len) for text in (small, large)]
    assert len(first[1]) < len(first[0]) / 2


def test_where_even_small_pictures_are_too_many_the_page_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "LIMIT_BYTES", 40_000)
    text = html_of(page_with([Still(picture=picture(330, 330), label="a coast")] * 9 + every_block("words")))
    assert len(text.encode()) <= 40_000
    assert "data:image" not in text
    assert "a coast: left out, since the page would be too large with it" in text


def test_what_cannot_be_made_small_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "LIMIT_BYTES", 5_000)
    with pytest.raises(OutputError, match=r"at most 5,000 are allowed"):
        html_of(page_with(every_block("words")))


def test_a_text_without_end_is_cut() -> None:
    text = html_of(page_with(every_block("x" * 1_000_000), "x" * 1_000_000))
    assert len(text.encode()) < LIMIT_BYTES
    assert "x" * (LEVELS[0].characters - 1) + "…" in text


def test_long_texts_are_cut_further_before_a_page_is_refused() -> None:
    rows = [["n" * 100_000, Code("n" * 100_000)] for _ in range(1_500)]
    text = html_of(page_with([Table(caption="names", columns=[Column("a"), Column("b")], rows=rows)]))
    assert len(text.encode()) <= LIMIT_BYTES
    assert text.count("<tr") == 1_501


@pytest.mark.parametrize("character", ["\u202e", "\u2066", "\x00", "\x1b", "\x85", "\u200f"])
def test_what_would_turn_the_words_after_it_or_is_unseen_is_told_by_its_code(character: str) -> None:
    text = html_of(page_with(every_block(f"a{character}b"), f"a{character}b"))
    assert character not in text
    assert f"a{character.encode('unicode_escape').decode()}b" in text


def test_bytes_that_are_no_letters_do_not_end_it() -> None:
    assert "\\udce9" in html_of(page_with([Words(parts=["caf\udce9"])]))


@pytest.mark.parametrize("keys", [("a", "a"), ("a b", "c"), ("", "c")])
def test_keys_of_sections_are_told_apart(keys: tuple[str, str]) -> None:
    sections = [Section(key=key, title="t") for key in keys]
    with pytest.raises(ValueError, match="keys of sections"):
        html_of(replace(page_with([]), sections=sections))


def test_levels_go_down() -> None:
    assert [level.side_px for level in LEVELS] == sorted((level.side_px for level in LEVELS), reverse=True)
    assert not LEVELS[-1].pictures
