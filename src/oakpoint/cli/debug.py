"""``oakpoint debug``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from oakpoint.cli.console import out, print_json, print_warning, progress_line
from oakpoint.cli.debug_report import check_debug_folder, write_debug_report
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import Json, Weights
from oakpoint.errors import UsageError
from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.layers.debug.debug import DebugOptions, debug_bundle
from oakpoint.layers.debug.errors import LayerError
from oakpoint.layers.debug.report import EXIT_NOTHING, ArrowReport, DebugReport

STAGES = {kind.option: stage for stage, kind in ARROWS.items()}
"""What arrows are called on the command line."""

_STYLES = {"jump": "bold red", "not finite": "bold red", "amplified": "yellow", "fine": ""}
_WORDS = {
    "layer": "[bold red]a layer is at fault[/]",
    "constants": "[bold red]constants were altered[/]",
    "outputs": "[bold red]other outputs[/]",
    "accumulated": "[yellow]no layer is at fault; small errors add up[/]",
    "damaged": "[bold red]a file is damaged[/]",
    "fine": "[green]every layer gives what it should[/]",
    "not compared": "[yellow]not compared[/]",
}


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
        typer.Option(
            help="Folder for pictures of the errors and of the worst region, and debug.json.", show_default=False
        ),
    ] = None,
    list_all: Annotated[bool, typer.Option("--all", help="List every layer, also where nothing is wrong.")] = False,
    as_json: Json = False,
) -> None:
    """Find the first layer that computes something else, along the chain. Exit 1: one does; 2: nothing was compared."""
    options = DebugOptions(
        bundle=bundle, stages=tuple(map(_stage, stage or ())), images=tuple(image or ()), weights=weights
    )
    if report is not None:
        check_debug_folder(report)
    with progress_line("opening") as progress:
        found = debug_bundle(options, progress)
    if report is not None:
        write_debug_report(report, found)
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
        out.print(f"[bold]{ARROWS[arrow.stage].shown}[/]  {_WORDS[arrow.outcome]}")
        if arrow.damaged or arrow.not_compared:
            out.print(f"  {escape(arrow.damaged or arrow.not_compared)}")
            continue
        rows = _rows(arrow, list_all=list_all)
        if rows:
            out.print(_table(arrow, rows))
        for line in _lines(arrow):
            out.print(f"  {line}")
    first = report.first
    if first is not None:
        out.print(f"\nfirst: {_where(first)}")


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
    for heading in ("own error", "largest", "rounding", "grown to"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        style = _STYLES[row.kind]
        numbers = (row.own.mean_square, row.own.largest, row.rounding.mean_square, row.grown.mean_square)
        mark = "" if row.kind == "fine" else f"[{style}]{row.kind}[/]"
        table.add_row(f"  {escape(arrow.called(row))}", escape(row.operators), *map(_number, numbers), mark)
    return table


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "0" if value == 0 else "∞" if math.isinf(value) else f"{value:.1e}"


def _lines(arrow: ArrowReport) -> list[str]:
    """What is to be said of an arrow beside its table."""
    lines = []
    if arrow.first is not None:
        lines.append(f"[bold]{escape(arrow.called(arrow.first))}[/]: {escape(arrow.cause)}")
    if (region := arrow.region) is not None:
        left, top, right, bottom = region.box
        lines.append(
            f"worst in {escape(region.image)}, pixels {left} to {right} across and {top} to {bottom} down: channel "
            f"{region.channel} has {region.got:.4g} where {region.expected:.4g} is expected"
        )
    lines += [f"[red]{escape(c.layer or 'a constant')}[/]: {escape(c.text)}" for c in arrow.altered]
    lines += [f"[red]{escape(arrow.outputs)}[/]"] if arrow.outputs else []
    lines += [f"[yellow]{escape(text)}[/]" for text in arrow.accumulated]
    if arrow.first_not_finite:
        lines.append(f"what it is compared with is not finite itself, first in {escape(arrow.first_not_finite)}")
    if arrow.unseen:
        names = ", ".join(arrow.unseen[:4]) + (f" and {len(arrow.unseen) - 4} more" if len(arrow.unseen) > 4 else "")
        lines.append(f"[dim]not seen by themselves: {escape(names)}[/]")
    return lines


def _where(arrow: ArrowReport) -> str:
    shown = ARROWS[arrow.stage].shown
    if arrow.first is not None:
        return f"[bold red]{escape(arrow.called(arrow.first))}[/], {shown}: {escape(arrow.cause)}"
    if arrow.altered:
        return (
            f"[bold red]{escape(arrow.altered[0].layer or 'a constant')}[/], {shown}: {escape(arrow.altered[0].text)}"
        )
    return f"{shown}: {escape(arrow.damaged or arrow.outputs or '; '.join(arrow.accumulated))}"
