"""``oakpoint check``."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from oakpoint.cli.console import command_line, out, print_error, print_json, progress_line
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.options import Images, Json, Weights, parse_size
from oakpoint.errors import OakpointError
from oakpoint.layers.check.check import TARGETS, CheckOptions, check_layers
from oakpoint.layers.check.verdicts import EXIT_UNTRIED, CheckReport, Kind
from oakpoint.layers.check.words import WORDS, cut_words, numbers_words, reasons
from oakpoint.models.base import ModelOptions
from oakpoint.report.folders import CHECK
from oakpoint.report.pages.check import check_page
from oakpoint.tasks.registry import ALL_HEADS

RANDOM_SEED = 0

_STYLES: dict[Kind, str] = {
    "refused": "bold red",
    "untried": "yellow",
    "caveat": "yellow",
    "rewritten": "cyan",
    "taken": "green",
}


@with_model_options
def check_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A .onnx file, package.module:Class, a bundle, or acorn, superpoint, edgepoint2, alike.",
            show_default=False,
        ),
    ],
    target: Annotated[str, typer.Option(help=f"What is to take it: {', '.join(TARGETS)}.")] = "myriad",
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT in pixels, such as 320x200. Default: the model's own, if it has one.",
            show_default=False,
        ),
    ] = None,
    heads: Annotated[
        str, typer.Option(help=f"What the blob puts out, for --target myriad: {', '.join(ALL_HEADS)}.")
    ] = "dense",
    weights: Weights = None,
    images: Images = None,
    random: Annotated[
        bool, typer.Option("--random", help="Initialise the network at random instead of --weights (for a trial).")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.html and check.json.", show_default=False)
    ] = None,
    list_all: Annotated[bool, typer.Option("--all", help="List the layers that are simply taken, too.")] = False,
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Tell of every layer whether a target takes it. Exit code 0: all are taken; 1: one is not; 2: not to be tried."""
    try:
        options = CheckOptions(
            model=model,
            target=target,
            size=parse_size(size),
            heads=heads,
            said=replace(said, weights=weights, seed=RANDOM_SEED if random else None),
            images=images,
        )
        CHECK.check(report)
        with progress_line("checking") as progress:
            found = check_layers(options, progress)
        if report is not None:
            CHECK.write(report, check_page(found, line=command_line()), found.facts())
    except OakpointError as error:
        print_error(str(error))
        raise typer.Exit(EXIT_UNTRIED) from error
    if as_json:
        print_json(found.facts())
    else:
        _print_layers(found, list_all=list_all or logging.getLogger().isEnabledFor(logging.INFO))
        _print_summary(found)
        if report is not None:
            out.print(f"report in [bold]{escape(str(report))}[/]")
    if found.untried:
        print_error(found.untried)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _print_layers(report: CheckReport, *, list_all: bool) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("layer", "operator", "verdict", "why, and what to do"):
        table.add_column(heading, overflow="fold")
    for kind, style in _STYLES.items():
        if kind == "taken" and not list_all:
            continue
        for verdict in report.of_kind(kind):
            layer = verdict.layer
            table.add_row(
                escape(layer.shown),
                escape(layer.operator),
                f"[{style}]{WORDS[kind]}[/]",
                escape("\n".join(reasons(verdict))),
            )
    if table.row_count:
        out.print(table)
        out.print()


def _print_summary(report: CheckReport) -> None:
    counts = [
        f"[{style}]{len(report.of_kind(kind))} {WORDS[kind]}[/]"
        for kind, style in _STYLES.items()
        if report.of_kind(kind)
    ]
    out.print(f"{escape(report.model)} for {report.target}: {len(report.layers)} layers, {', '.join(counts)}")
    for line in filter(None, (cut_words(report), numbers_words(report))):
        out.print(escape(line))
    for note in report.notes:
        out.print(f"[yellow]note:[/] {escape(note)}")
