"""``oakpoint debug``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from oakpoint.cli.console import command_line, out, print_json, print_warning, progress_line
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import Json, Weights
from oakpoint.errors import UsageError
from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.layers.debug.debug import DebugOptions, debug_bundle
from oakpoint.layers.debug.errors import LayerError
from oakpoint.layers.debug.report import EXIT_NOTHING, ArrowReport, DebugReport
from oakpoint.layers.debug.words import HEADINGS, OUTCOMES, Said, Weight, fault_of, four_numbers, said_of
from oakpoint.report.folders import DEBUGGING
from oakpoint.report.pages.debug import debug_page, write_pictures

STAGES = {kind.option: stage for stage, kind in ARROWS.items()}
"""What arrows are called on the command line."""

_STYLES = {"jump": "bold red", "not finite": "bold red", "amplified": "yellow", "fine": ""}
_WEIGHTS: dict[Weight, str] = {"fault": "red", "warning": "yellow", "plain": "", "faint": "dim"}
_OUTCOMES: dict[Weight, str] = {"fault": "bold red", "warning": "yellow", "plain": "green", "faint": "dim"}


def debug_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.", show_default=False)],
    stage: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What to look at: {', '.join(STAGES)}; may be given several times. Default: all.", show_default=False
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="An image, or a folder of them; may be given several times. Default: two photographs that come with "
            "scikit-image.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, its pictures, and debug.json.", show_default=False),
    ] = None,
    list_all: Annotated[bool, typer.Option("--all", help="List every layer, also where nothing is wrong.")] = False,
    as_json: Json = False,
) -> None:
    """Find the first layer that computes something else, along the chain. Exit 1: one does; 2: nothing was compared."""
    options = DebugOptions(
        bundle=bundle, stages=tuple(map(_stage, stage or ())), images=tuple(image or ()), weights=weights
    )
    DEBUGGING.check(report)
    with progress_line("opening") as progress:
        found = debug_bundle(options, progress)
    if report is not None:
        DEBUGGING.write(report, debug_page(found, line=command_line()), found.facts(), partial(write_pictures, found))
    if as_json:
        print_json({"notice": notice_for(str(bundle)), **found.facts()})
    else:
        _print(found, list_all=list_all)
    for note in found.notes:
        print_warning(note)
    if found.exit_code == EXIT_NOTHING:
        print_warning(f"nothing was compared: {bundle} has no two forms of its network that could be")
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _stage(text: str) -> str:
    """The arrow that is meant: by its name on the command line, or as it is printed."""
    if text in STAGES:
        return STAGES[text]
    for name, kind in ARROWS.items():
        if text in (name, kind.shown):
            return name
    raise UsageError(f"--stage: expected one of {', '.join(STAGES)}, got {text!r}")


def _print(report: DebugReport, *, list_all: bool) -> None:
    for arrow in report.arrows:
        weight, words = OUTCOMES[arrow.outcome]
        out.print(f"[bold]{ARROWS[arrow.stage].shown}[/]  {_styled(words, _OUTCOMES[weight])}")
        rows = _rows(arrow, list_all=list_all)
        if rows:
            out.print(_table(arrow, rows))
        for said in said_of(arrow):
            out.print(f"  {_line(said)}")
    first = report.first
    if first is not None:
        said = fault_of(first)
        subject = f"{_styled(said.subject, 'bold red')}, " if said.subject else ""
        out.print(f"\nfirst: {subject}{escape(said.text)}")


def _line(said: Said) -> str:
    """One thing that is said: a subject stands out, and takes the weight of the whole."""
    if not said.subject:
        return _styled(said.text, _WEIGHTS[said.weight])
    return f"{_styled(said.subject, _WEIGHTS[said.weight] or 'bold')}: {escape(said.text)}"


def _styled(text: str, style: str) -> str:
    return f"[{style}]{escape(text)}[/]" if style else escape(text)


def _rows(arrow: ArrowReport, *, list_all: bool) -> list[LayerError]:
    """The layers that are worth a line: all, or those around the first that is at fault and those that amplify."""
    if list_all:
        return list(arrow.errors)
    if arrow.first is None:
        return []
    place = arrow.errors.index(arrow.first)
    return list(arrow.errors[max(0, place - 2) : place + 6])


def _table(arrow: ArrowReport, rows: list[LayerError]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("  layer", overflow="fold")
    table.add_column("operators", overflow="fold")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        style = _STYLES[row.kind]
        mark = "" if row.kind == "fine" else f"[{style}]{row.kind}[/]"
        table.add_row(f"  {escape(arrow.called(row))}", escape(row.operators), *four_numbers(row), mark)
    return table
