"""``oakpoint bench --device oak``: a camera measured."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import typer
from rich.markup import escape

from oakpoint.bench.camera.measuring import CameraFigures, HostFramesSpeed
from oakpoint.bench.camera.phases import INTERRUPTED, Failed, Measured, Outcome, Phase, measure, reason_of
from oakpoint.bench.camera.report import report_facts
from oakpoint.bench.camera.subject import open_subject
from oakpoint.bench.camera.table import table
from oakpoint.bundle.records import Verdict
from oakpoint.cli.bench_common import PhasePrinter, photographs_of
from oakpoint.cli.console import (
    command_line,
    err,
    out,
    print_error,
    print_json,
    print_warning,
    verdict_text,
)
from oakpoint.cli.notices import notice_for
from oakpoint.oak.model import open_device_model
from oakpoint.oak.options import OakOptions
from oakpoint.report.folders import CAMERA
from oakpoint.report.pages.bench_camera import bench_page, write_beside

EXIT_FAILED, EXIT_NOTHING_COMPARED = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraBench:
    """What was asked for.

    Attributes:
        bundle: folder of the bundle.
        options: of the camera; None: its stand-in.
        seconds: how long to run on the camera's own frames.
        frames: frames of this machine to time.
        images: folder of images to compare on.
        report: folder for the report.
        as_json: whether facts are printed as JSON.
    """

    bundle: str
    options: OakOptions | None
    seconds: float
    frames: int
    images: Path | None
    report: Path | None
    as_json: bool


def bench_camera(asked: CameraBench) -> None:
    """Measure a camera, say what came of it, and write the report.

    A part that fails is told, and the others are measured; Ctrl-C leaves what there is.

    Raises:
        typer.Exit: outputs differ, a part failed, or nothing was compared.
        OakpointError: nothing could be measured.
    """
    CAMERA.check(asked.report)
    notice_for(asked.bundle)
    photographs = photographs_of(asked.images)
    model = open_device_model(asked.bundle)
    with contextlib.ExitStack() as stack:
        with err.status("opening the camera …"):
            subject = stack.enter_context(open_subject(model, asked.options, photographs))
        measured = measure(subject, _Printer(quiet=asked.as_json), seconds=asked.seconds, frames=asked.frames)
        facts = report_facts(subject, measured)
    if asked.as_json:
        print_json(facts | {"report": str(asked.report) if asked.report else None})
    else:
        out.print(table(facts), end="", markup=False)
    if asked.report is not None:
        last = measured.camera.last if isinstance(measured.camera, CameraFigures) else None
        page = bench_page(facts, measured, last, line=command_line())
        CAMERA.write(asked.report, page, facts, partial(write_beside, facts, last))
        if not asked.as_json:
            out.print(f"report in [bold]{asked.report}[/]")
    _end(measured)


def _end(measured: Measured) -> None:
    """Say what failed, and leave with the code for it."""
    for reason in measured.failures:
        print_error(reason)
    if measured.interrupt is not None:
        raise measured.interrupt
    if measured.verdict is not Verdict.PASS:
        raise typer.Exit(EXIT_FAILED if measured.verdict is Verdict.FAIL else EXIT_NOTHING_COMPARED)


class _Printer(PhasePrinter):
    """See ``Listener``."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(_DOING, quiet=quiet)

    def finished(self, phase: Phase, outcome: Outcome) -> None:
        """See ``Listener``."""
        self.ended(phase, _words(outcome))

    def noted(self, note: str) -> None:
        """See ``Listener``."""
        print_warning(note)


_DOING: dict[str, str] = {
    "parity": "comparing with the simulator",
    "frames of host": "timing {:g} frames of this machine",
    "camera": "running on the camera's own frames for {:g} s",
}


def _words(outcome: Outcome) -> str:
    match outcome:
        case Failed():
            return _end_words(outcome.reason)
        case HostFramesSpeed():
            return f"{outcome.rate_fps:.1f} a second, {outcome.latency_ms_median:.1f} ms one at a time"
        case CameraFigures():
            text = f"{outcome.frames} frames"
            if outcome.keypoints_mean is not None:
                text += f", {outcome.keypoints_mean:.0f} keypoints a frame"
            return text if outcome.ended is None else f"{text}; {_end_words(reason_of(outcome.ended))}"
        case _:
            return verdict_text(outcome)


def _end_words(reason: str) -> str:
    return reason if reason == INTERRUPTED else f"[bold red]FAILED[/]  {escape(reason)}"
