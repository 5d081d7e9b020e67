"""A report in a browser: nothing is loaded, links work, it is accessible, and it fits a phone, in light and in dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oakpoint.bundle.manifest import PAGE_FILE
from oakpoint.report.parts.blocks import (
    Badge,
    Block,
    Code,
    Column,
    Drawn,
    Entries,
    Folded,
    Layer,
    Overlay,
    Page,
    Section,
    Table,
    Words,
)
from oakpoint.report.parts.histogram import histogram
from oakpoint.report.parts.page import html_of
from oakpoint.report.parts.pictures import Picture

SIZES = {"desk": (1280, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")

LINKS = "[...document.querySelectorAll('a')].map(link => [link.getAttribute('href'), link.textContent])"
OVERFLOW_PX = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
GROUND = "getComputedStyle(document.body).backgroundColor"
SMALL_TEXTS = """
[...document.querySelectorAll('p, td, th, dt, dd, li, h1, h2, h3, summary, figcaption')]
    .filter(element => element.textContent.trim() && parseFloat(getComputedStyle(element).fontSize) < 12).length
"""


@pytest.fixture(scope="session")
def report(made_once: Any, image_folder: Path, small_onnx: Path) -> Path:
    """The report of a conversion."""
    from typer.testing import CliRunner

    from oakpoint.cli.main import app

    def write(folder: Path) -> None:
        arguments = ["convert", str(small_onnx), "--to", "ir", "--images", str(image_folder), "--out", str(folder)]
        ran = CliRunner().invoke(app, arguments)
        assert ran.exit_code == 0, ran.output

    return made_once("seen-in-a-browser", write) / PAGE_FILE


@pytest.fixture(params=[(size, scheme) for size in SIZES for scheme in SCHEMES], ids=" ".join)
def page(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Any]:
    """The report, opened; whatever it asked for is in ``requests``, and what it was refused or complained of in
    ``complaints``."""
    size, scheme = request.param
    width, height = SIZES[size]
    opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    opened.requests, opened.complaints, opened.scheme = [], [], scheme
    opened.on("request", lambda asked: opened.requests.append(asked.url))
    opened.on("console", lambda message: opened.complaints.append(message.text))
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.goto(report.as_uri())
    yield opened
    opened.close()


def test_it_asks_for_nothing_but_itself(page: Any, report: Path) -> None:
    assert [url for url in page.requests if not url.startswith("data:")] == [report.as_uri()]
    assert page.complaints == []
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")


def test_it_fits_its_window_and_can_be_read(page: Any) -> None:
    assert page.evaluate(OVERFLOW_PX) <= 0
    assert page.evaluate(SMALL_TEXTS) == 0
    brightness = sum(int(part) for part in page.evaluate(GROUND).removeprefix("rgb(").removesuffix(")").split(","))
    assert (brightness > 600) == (page.scheme == "light")


HIDDEN_CELLS = """
[...document.querySelectorAll('table.stacked td')].filter(cell => cell.checkVisibility())
    .filter(cell => cell.getBoundingClientRect().right > document.documentElement.clientWidth).length
"""
SCROLLED = """
[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1)
    .map(box => box.getAttribute('aria-label'))
"""


def test_figures_limits_verdicts_and_charts_are_seen_without_scrolling(page: Any) -> None:
    assert page.locator("table.stacked td:visible").count() > 20
    assert page.evaluate(HIDDEN_CELLS) == 0
    assert page.evaluate(SCROLLED) == []


def test_a_table_whose_rows_are_stacked_is_still_a_table(page: Any) -> None:
    table = page.get_by_role("table", name="figures against their tolerances").first
    assert table.get_by_role("columnheader").count() == 5
    assert table.get_by_role("cell", name="ok", exact=False).count() >= 1
    assert table.get_by_role("rowheader").count() == table.get_by_role("row").count() - 1


def test_axe_finds_nothing(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    results = axe.Axe().run(page)
    found = {rule["id"]: [node["html"][:200] for node in rule["nodes"]] for rule in results.response["violations"]}
    assert found == {}
    assert len(results.response["passes"]) > 15  # it did look


def test_links_lead_to_what_they_name(page: Any) -> None:
    links = page.evaluate(LINKS)
    assert len(links) > 6
    for target, _ in links:
        assert target.startswith("#")
        assert page.evaluate("id => document.getElementById(id) !== null", target[1:]), target
    page.get_by_role("link", name="What made it").click()
    assert page.url.endswith("#origin")


def test_the_keyboard_hides_and_shows_a_layer(page: Any) -> None:
    switch = page.get_by_role("checkbox").first
    marks = page.locator(".m1")
    assert marks.is_visible()
    switch.focus()
    page.keyboard.press("Space")
    assert not marks.is_visible()
    page.keyboard.press("Space")
    assert marks.is_visible()


def test_it_is_printed(page: Any, tmp_path: Path) -> None:
    content: Callable[..., bytes] = page.pdf
    assert content(format="A4")[:5] == b"%PDF-"
    page.emulate_media(media="print")
    assert not page.get_by_role("navigation").is_visible()


LONG = "x" * 3_000


def every_text_long() -> Page:
    """A page on which every text is one long word."""
    table = Table(
        caption=LONG, columns=[Column(LONG), Column("n", number=True), Column("v")], rows=[[LONG, "1", Code(LONG)]]
    )
    blocks: list[Block] = [
        Words(parts=[LONG, Code(LONG)]),
        table,
        Entries([(LONG, LONG)]),
        Drawn(svg=histogram({LONG: np.ones(3)}, value=LONG, count=LONG), label=LONG, caption=LONG),
        Overlay(
            picture=Picture(np.zeros((40, 60), np.uint8)),
            layers=[Layer(name=LONG, note=LONG, marks="")],
            label=LONG,
            caption=LONG,
        ),
        Folded(title=LONG, blocks=[table]),
    ]
    section = Section(key="a", title=LONG, blocks=blocks, sections=[Section(key="b", title=LONG)])
    other = Section(key="c", title=LONG)
    return Page(
        command="oakpoint test", title=LONG, verdict=Badge("pass", "PASS"), summary=LONG, notices=[LONG],
        entries=[(LONG, LONG)], sections=[section, other], made_by=LONG,
    )  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_no_name_is_too_long_for_a_window(browser: Any, tmp_path: Path, size: str) -> None:
    (tmp_path / "p.html").write_text(html_of(every_text_long()), encoding="utf-8")
    width, height = SIZES[size]
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.goto((tmp_path / "p.html").as_uri())
    found = opened.evaluate(OVERFLOW_PX)
    opened.close()
    assert found <= 0
