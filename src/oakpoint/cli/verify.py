"""``oakpoint verify``."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.chain.evidence import Evidence
from oakpoint.chain.verification import verify_bundle
from oakpoint.cli.console import command_line, err, out, print_json, print_warning, verdict_text
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import Images, Json, Weights
from oakpoint.images.reading import no_image_in
from oakpoint.layers.debug.bundle_arrows import ARROWS
from oakpoint.report.folders import VERIFICATION
from oakpoint.report.pages.conversion import conversion_page
from oakpoint.verify.photographs import load_photographs

EXIT_FAILED, EXIT_NOTHING_COMPARED = 1, 2

SHARE_COMPARED = "share of the"
"""With this begin figures without a limit that say how much of something a check is about."""


def verify_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.", show_default=False)],
    images: Images = None,
    weights: Weights = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.html and verification.json.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every file of a bundle and compare its stages again. Exit 1: one fails; 2: nothing could be compared."""
    VERIFICATION.check(report)
    opened = open_bundle(bundle)
    notice = notice_for(str(bundle))
    photographs = load_photographs(images)
    if images is not None and not photographs:
        print_warning(no_image_in(images))
    with err.status(f"comparing on {len(photographs)} images …"):
        evidence = None if report is None else Evidence()
        reports = verify_bundle(opened, photographs, weights, evidence)
    command = next_command(bundle, reports, images, weights)
    stages = [stage.facts() for stage in reports]
    facts = {"bundle": str(bundle), "notice": notice, "stages": stages, "next": command}
    if report is not None and evidence is not None:
        line = command_line()
        VERIFICATION.write(
            report, conversion_page(opened, reports, evidence, command="oakpoint verify", line=line), facts
        )
    if as_json:
        print_json(facts)
    else:
        for stage in reports:
            print_report(stage)
    if not reports:
        print_warning(f"nothing was compared: {bundle} holds one model, and nothing that it was made from or into")
    verdicts = {stage.verdict for stage in reports}
    for stage in reports:
        if stage.verdict is Verdict.NOTHING_COMPARED:
            print_warning(f"{stage.stage}: nothing was compared")
    if report is not None and not as_json:
        out.print(f"report in [bold]{escape(str(report))}[/]")
    if command and not as_json:
        err.print(f"which layer it is: [bold]{escape(command)}[/]", soft_wrap=True)
    if Verdict.FAIL in verdicts:
        raise typer.Exit(EXIT_FAILED)
    if Verdict.PASS not in verdicts:
        raise typer.Exit(EXIT_NOTHING_COMPARED)


def next_command(bundle: Path, reports: Sequence[StageReport], images: Path | None, weights: Path | None) -> str:
    """The command that finds the layer at which the first failed stage goes wrong; empty where none failed, or can."""
    failed = next((r.stage for r in reports if r.verdict is Verdict.FAIL and r.stage in ARROWS), None)
    if failed is None:
        return ""
    words = ["oakpoint", "debug", str(bundle), "--stage", ARROWS[failed].option]
    words += [] if images is None else ["--image", str(images)]
    words += [] if weights is None else ["--weights", str(weights)]
    return shlex.join(words)


def print_report(report: StageReport) -> None:
    """The verdict, and each figure with its tolerance."""
    out.print(f"[bold]{report.stage}[/]  {verdict_text(report)}")
    if not report.checks:
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
    for check in report.checks:
        sign = "≥" if check.kind == "at_least" else "≤"
        mark = "[green]ok[/]" if check.passed else "[bold red]failed[/]"
        table.add_row(check.name, f"{check.value:.7g}", f"{sign} {check.limit:g}", mark)
    for name, value in (report.figures or {}).items():
        if name.startswith(SHARE_COMPARED) and math.isfinite(value):
            table.add_row(name, f"{value:.7g}", "", "")
    out.print(table)
    if report.claim:
        out.print(f"[dim]{report.claim}[/]")
