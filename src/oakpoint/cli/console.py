"""How commands speak: rich on a terminal, plain lines elsewhere, JSON for machines, errors in one line."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from oakpoint.files import shown_name

if TYPE_CHECKING:
    from oakpoint.bundle.records import StageReport

PLAIN_WIDTH = 160
"""Columns of tables that are not written to a terminal."""

out = Console(
    soft_wrap=True,
    highlight=False,
    emoji=False,  # «package.module:a:» is a name, not a picture
    width=None if sys.stdout.isatty() else PLAIN_WIDTH,
)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

_VERDICT_STYLE = {"PASS": "green", "FAIL": "bold red", "NOTHING_COMPARED": "yellow"}


def progress_bar(*columns: ProgressColumn, quiet: bool = False) -> Progress:
    """A bar with count and time to go on standard error; nothing where that is no terminal.

    Args:
        columns: more of them, to the right.
        quiet: show nothing on a terminal either.
    """
    common = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*common, *columns, console=err, transient=True, disable=quiet or not err.is_terminal)


def print_error(message: str) -> None:
    """One line on standard error."""
    err.print(f"[bold red]error:[/] {escape(_one_line(message))}")


def print_warning(message: str) -> None:
    """One line on standard error."""
    err.print(f"[yellow]note:[/] {escape(_one_line(message))}")


def _one_line(message: str) -> str:
    """A message in one line, whatever stands in the names of files."""
    return shown_name(" ".join(message.split()))


def print_progress(message: str) -> None:
    """One line on standard error, of how far things are."""
    err.print(escape(" ".join(message.split())))


@contextmanager
def progress_line(first: str) -> Iterator[Callable[[str], None]]:
    """Tell what is being done: in a line on a terminal that changes and begins with ``first``; in lines elsewhere."""
    if not err.is_terminal:
        yield print_progress
        return
    with err.status(f"{first} …") as status:
        yield lambda words: status.update(f"{escape(words)} …")


def print_json(facts: Mapping[str, Any]) -> None:
    """Facts for machines, on standard output."""
    sys.stdout.write(json.dumps(facts, indent=2, allow_nan=False, default=str) + "\n")


def verdict_text(report: StageReport) -> str:
    """The verdict in colour, and what it rests on."""
    style = _VERDICT_STYLE[report.verdict.name]
    return f"[{style}]{report.verdict.value.upper()}[/]  {escape(report.summary)}"


def command_line() -> str:
    """The command line of this process, as it can be typed."""
    return shlex.join(["oakpoint", *sys.argv[1:]])


def step_line(step: str, seconds: float, text: str) -> str:
    """A finished step of a longer command."""
    return f"{step:<14} {seconds:6.1f} s   {text}"
