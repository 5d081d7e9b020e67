"""``oakpoint doctor``."""

from __future__ import annotations

import dataclasses
from itertools import groupby
from typing import Annotated

import typer
from rich.markup import escape

from oakpoint import __version__
from oakpoint.cli.console import err, out, print_json
from oakpoint.cli.options import Json
from oakpoint.doctor.examination import examine
from oakpoint.doctor.findings import Finding, healthy

EXIT_UNHEALTHY = 1
_STYLE = {"good": "green", "in use": "yellow", "missing": "yellow", "wrong": "bold red"}


def doctor_command(
    connect: Annotated[
        bool, typer.Option("--connect", help="Start cameras that are free, to learn USB speed and product.")
    ] = False,
    fetch: Annotated[bool, typer.Option("--fetch", help="First fetch the Myriad compiler into the cache.")] = False,
    as_json: Json = False,
) -> None:
    """Say what is installed and plugged in, and how to mend the rest. Exit 1: something needed is missing or wrong."""
    if fetch:
        from oakpoint.myriad.toolchain import ensure_toolchain

        with err.status("fetching the compiler …"):
            ensure_toolchain()
    with err.status("examining …"):
        findings = examine(connect=connect)
    well = healthy(findings)
    if as_json:
        print_json(
            {
                "oakpoint": __version__,
                "healthy": well,
                "findings": [dataclasses.asdict(finding) for finding in findings],
            }
        )
    else:
        _print(findings)
        out.print("nothing needed is missing" if well else "[bold red]something needed is missing or wrong[/]")
    if not well:
        raise typer.Exit(EXIT_UNHEALTHY)


def _print(findings: tuple[Finding, ...]) -> None:
    width = max(len(finding.name) for finding in findings)
    for topic, group in groupby(findings, key=lambda finding: finding.topic):
        out.print(f"[bold]{topic}[/]")
        for finding in group:
            mark = f"[{_STYLE[finding.state]}]{finding.state:<7}[/]"
            out.print(f"  {mark}  {escape(finding.name):<{width}}  {escape(finding.text)}")
            if finding.mend:
                out.print(f"           {'':<{width}}  → {escape(finding.mend)}")
