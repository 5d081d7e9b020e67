"""``oakpoint check``."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from oakpoint.bundle.records import ms_text
from oakpoint.cli.console import out, print_error, print_json, progress_line
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.options import Images, Json, Weights, parse_size
from oakpoint.errors import OakpointError
from oakpoint.layers.check.check import TARGETS, CheckOptions, check_layers
from oakpoint.layers.check.verdicts import EXIT_UNTRIED, CheckReport, LayerVerdict
from oakpoint.models.base import ModelOptions
from oakpoint.tasks.registry import ALL_HEADS

RANDOM_SEED = 0

_STYLES = {"refused": "bold red", "untried": "yellow", "caveat": "yellow", "rewritten": "cyan", "taken": "green"}
_WORDS = {
    "refused": "not taken",
    "untried": "not tried",
    "caveat": "taken, with a caveat",
    "rewritten": "taken after a rewrite",
    "taken": "taken",
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
        with progress_line("checking") as progress:
            report = check_layers(options, progress)
    except OakpointError as error:
        print_error(str(error))
        raise typer.Exit(EXIT_UNTRIED) from error
    if as_json:
        print_json(report.facts())
    else:
        _print_layers(report, list_all=list_all or logging.getLogger().isEnabledFor(logging.INFO))
        _print_summary(report)
    if report.untried:
        print_error(report.untried)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _print_layers(report: CheckReport, *, list_all: bool) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("layer", "operator", "verdict", "why, and what to do"):
        table.add_column(heading, overflow="fold")
    for kind, style in _STYLES.items():
        if kind == "taken" and not list_all:
            continue
        for verdict in report.of_kind(kind):  # type: ignore[arg-type]
            layer = verdict.layer
            table.add_row(
                escape(layer.shown),
                escape(layer.operator),
                f"[{style}]{_WORDS[kind]}[/]",
                escape("\n".join(_reasons(verdict))),
            )
    if table.row_count:
        out.print(table)
        out.print()


def _reasons(verdict: LayerVerdict) -> list[str]:
    reasons = [verdict.problem] if verdict.problem else []
    reasons += [f"→ {remedy}" for remedy in verdict.remedies]
    reasons += verdict.caveats
    return reasons + ([f"rewrites: {', '.join(verdict.rewrites)}"] if verdict.rewrites else [])


def _print_summary(report: CheckReport) -> None:
    counts = [
        f"[{style}]{len(report.of_kind(kind))} {_WORDS[kind]}[/]"  # type: ignore[arg-type]
        for kind, style in _STYLES.items()
        if report.of_kind(kind)  # type: ignore[arg-type]
    ]
    out.print(f"{escape(report.model)} for {report.target}: {len(report.layers)} layers, {', '.join(counts)}")
    if report.cut_bytes is not None:
        host = "" if report.host_ms is None else f", {ms_text(report.host_ms)} on the host for the rest (measured here)"
        out.print(
            f"cut before all that is not taken: {report.cut_bytes:,} bytes a frame over USB{host}; "
            "oakpoint convert --split auto does it, where that is cheapest"
        )
    if report.images:
        out.print(_numbers_in_words(report))
    for note in report.notes:
        out.print(f"[yellow]note:[/] {escape(note)}")


def _numbers_in_words(report: CheckReport) -> str:
    """What was measured on the images, in a line."""
    measured = [verdict.numbers for verdict in report.layers if verdict.numbers]
    largest = f"the largest magnitude is {max((numbers.largest for numbers in measured), default=0.0):.4g}"
    if report.target != "myriad":  # these compute in float32
        wrong = sum(numbers.not_finite > 0 for numbers in measured)
        said = f"{wrong} layers give numbers that are not finite" if wrong else "all numbers are finite"
        return f"{said} on {report.images} images: {largest}"
    if (first := report.first_infinity) is not None:
        where = escape(f"{first.layer.shown} ({first.layer.operator})")
        return f"FP16 overflows first in {where}, which reaches {first.largest:.4g} on {report.images} images"
    return f"no overflow of FP16 on {report.images} images: {largest}"
