"""``oakpoint run … --view web``: a page on which a run is watched and controlled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oakpoint.cli.console import print_progress
from oakpoint.errors import UsageError
from oakpoint.files import shown_name
from oakpoint.run.controls import ControlBoard
from oakpoint.run.page.defaults import DEFAULT_HOST, DEFAULT_PORT, RECORDINGS
from oakpoint.run.page.state import PageTitle

if TYPE_CHECKING:  # asyncio and what else serves a page is loaded where one is asked for
    from oakpoint.run.page.server import Listening
    from oakpoint.run.sinks.page import PageSink

_PANEL = "Live page"

Host = Annotated[
    str | None,
    typer.Option(
        help=f"Address of the page; any other than this machine's own loopback gets a token. Default: {DEFAULT_HOST}.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        help=f"Port of the page; 0 takes a free one. Default: {DEFAULT_PORT}.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Recordings = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help=f"Folder for what is recorded on the page. Default: {RECORDINGS}.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """A page that was asked for.

    Attributes:
        listening: where.
        title: what it is about.
        recordings: folder for what is recorded on it.
    """

    listening: Listening
    title: PageTitle
    recordings: Path

    def open(self, board: ControlBoard, *, fps: float, live: bool) -> PageSink:
        """Open it, and say where it is; see ``PageSink.to``.

        Raises:
            OakpointError: it does not open.
        """
        from oakpoint.run.sinks.page import PageSink

        page = PageSink.to(self.listening, board, self.title, fps=fps, live=live, recordings=self.recordings)
        print_progress(f"open  {page.url}  (Ctrl-C ends the run)")
        return page


def title_of(model: str, source: str, notice: str | None) -> PageTitle:
    """What a page is about, for people: without the folders that things lie in."""
    place = f"webcam {source}" if source.isdecimal() else shown_name(Path(source).name or source)
    return PageTitle(network=shown_name(Path(model).name or model), source=place, notice=notice)


@contextlib.contextmanager
def asked_page(
    view: str | None, host: str | None, port: int | None, recordings: Path | None, title: PageTitle
) -> Iterator[PageRequest | None]:
    """The page that the options ask for, its address bound until the block ends; None where they ask for none.

    Raises:
        UsageError: an option without the page, or an address that cannot be had.
        MissingExtraError: what the page needs is not installed.
    """
    if view != "web":
        for name, value in (("host", host), ("port", port), ("recordings", recordings)):
            if value is not None:
                raise UsageError(f"--{name}: counts with --view web only")
        yield None
        return
    from oakpoint.run.page.server import listen, require_page

    require_page()
    folder = RECORDINGS if recordings is None else recordings
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--recordings: expected a folder, {folder} is a file")
    listening = listen(DEFAULT_HOST if host is None else host, DEFAULT_PORT if port is None else port)
    with listening.socket:
        yield PageRequest(listening=listening, title=title, recordings=folder)
