"""What README and docs point to is there: pages, headings, pictures, commands and their options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from oakpoint.cli.commands import COMMANDS, loaded_command
from oakpoint.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    found = set()
    for line in _BLOCK.sub("", page.read_text()).splitlines():
        if line.startswith("#"):
            text = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            found.add(text.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(_BLOCK.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / name
        assert target.exists(), f"{link} of {page.name} leads nowhere"
        if anchor:
            assert anchor in headings(target), f"{link} of {page.name}: no such heading"


def commands(page: Path) -> list[list[str]]:
    """Words of every ``oakpoint`` line in a page's blocks, without its comment."""
    lines = []
    for language, content in _BLOCK.findall(page.read_text()):
        if language in ("", "console", "bash", "sh"):
            lines += content.replace("\\\n", " ").splitlines()
    cleaned = (line.removeprefix("$ ") for line in lines)
    return [shlex.split(line, comments=True) for line in cleaned if line.startswith("oakpoint ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_is_known(page: Path) -> None:
    known: Any = typer.main.get_command(app)
    for words in commands(page):
        name = next(word for word in words[1:] if not word.startswith("-"))
        assert name in COMMANDS, words
        command = loaded_command(name)
        options = {option for given in (known, command) for item in given.params for option in item.opts}
        for word in words:
            option = word.partition("=")[0]
            if option.startswith("-") and len(option) > 1:
                assert option in options | {"--help"}, f"{page.name}: {' '.join(words)}"


def test_a_strangers_first_screen() -> None:
    """What it is for, a picture and two commands within a screen; recipes of at most ten lines."""
    readme = (ROOT / "README.md").read_text()
    screen = "\n".join(readme.splitlines()[:30])
    assert "![" in screen
    assert "make demo" in screen
    assert "make test" in screen
    recipes = [content for _, content in _BLOCK.findall(readme)][1:]
    assert len(recipes) >= 5
    assert all(len(recipe.splitlines()) <= 10 for recipe in recipes)
