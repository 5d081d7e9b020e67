"""``oakpoint bench``."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import TaskID

from oakpoint.bench.camera.measuring import CameraFigures, HostFramesSpeed
from oakpoint.bench.camera.phases import INTERRUPTED, Failed, Measured, Outcome, Phase, measure, reason_of
from oakpoint.bench.camera.report import report_facts
from oakpoint.bench.camera.subject import open_subject
from oakpoint.bench.camera.table import table
from oakpoint.bundle.records import Verdict
from oakpoint.cli.console import (
    command_line,
    err,
    out,
    print_error,
    print_json,
    print_warning,
    progress_bar,
    step_line,
    verdict_text,
)
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import Images, Json
from oakpoint.cli.run_routes import Camera, CameraRequest, Fps, NnThreads, Preview, Route, Shaves, Socket, Usb2
from oakpoint.errors import UsageError
from oakpoint.images.reading import no_image_in
from oakpoint.oak.model import open_device_model
from oakpoint.report.folders import CAMERA
from oakpoint.report.pages.bench_camera import bench_page, write_beside
from oakpoint.verify.photographs import load_photographs

ROUTES: dict[str, Route] = {"oak": "camera", "replay": "replay"}
WORDS: dict[Route, str] = {route: f"--device {device}" for device, route in ROUTES.items()}
EXIT_FAILED, EXIT_NOTHING_COMPARED = 1, 2


def bench_command(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder of the bundle.", show_default=False)],
    device: Annotated[
        str, typer.Option(help="oak: a camera; replay: its stand-in on this machine, to see what comes out.")
    ] = "oak",
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, its facts, and a picture.", show_default=False),
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to run on the camera's own frames.")] = 20.0,
    frames: Annotated[int, typer.Option(help="Frames of this machine to time.")] = 100,
    images: Images = None,
    socket: Socket = None,
    fps: Fps = None,
    preview: Preview = None,
    nn_threads: NnThreads = None,
    shaves: Shaves = None,
    camera: Camera = None,
    usb2: Usb2 = False,
    as_json: Json = False,
) -> None:
    """Measure a camera: outputs against the simulator, rate, latency.

    A part that fails is told, and the others are measured; Ctrl-C leaves what there is.
    Exit 1: outputs differ, or a part failed; 2: nothing compared.
    """
    if device not in ROUTES:
        raise UsageError(f"device: expected one of {', '.join(ROUTES)}, got {device!r}")
    if frames < 1 or not seconds > 0:
        raise UsageError(f"expected 1 or more --frames and more than 0 --seconds, got {frames} and {seconds:g}")
    CAMERA.check(report)
    asked = CameraRequest(
        socket=socket, fps=fps, preview=preview, nn_threads=nn_threads, shaves=shaves, camera=camera, usb2=usb2,
        reconnect=False, stand_in=None,
    )  # fmt: skip
    asked.check(ROUTES[device], WORDS)
    notice_for(bundle)
    photographs = load_photographs(images)
    if not photographs:
        raise UsageError(f"{no_image_in(images or Path())}, or leave out --images")
    model = open_device_model(bundle)
    options = asked.options() if device == "oak" else None
    with contextlib.ExitStack() as stack:
        with err.status("opening the camera …"):
            subject = stack.enter_context(open_subject(model, options, photographs))
        measured = measure(subject, _Printer(quiet=as_json), seconds=seconds, frames=frames)
        facts = report_facts(subject, measured)
    if as_json:
        print_json(facts | {"report": str(report) if report else None})
    else:
        out.print(table(facts), end="", markup=False)
    if report is not None:
        last = measured.camera.last if isinstance(measured.camera, CameraFigures) else None
        page = bench_page(facts, measured, last, line=command_line())
        CAMERA.write(report, page, facts, partial(write_beside, facts, last))
        if not as_json:
            out.print(f"report in [bold]{report}[/]")
    _end(measured)


def _end(measured: Measured) -> None:
    """Say what failed, and leave with the code for it."""
    for reason in measured.failures:
        print_error(reason)
    if measured.interrupt is not None:
        raise measured.interrupt
    if measured.verdict is not Verdict.PASS:
        raise typer.Exit(EXIT_FAILED if measured.verdict is Verdict.FAIL else EXIT_NOTHING_COMPARED)


class _Printer:
    """A bar for the running phase on a terminal, a line at its beginning elsewhere, and one for each finished one."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._progress = progress_bar()
        self._task = TaskID(0)
        self._started_s = 0.0

    def started(self, phase: Phase, total: float | None) -> None:
        """See ``Listener``."""
        self._started_s = time.monotonic()
        self._task = self._progress.add_task(phase, total=total)
        self._progress.start()
        if self._progress.disable and not self._quiet:
            out.print(f"{_DOING[phase].format(total)} …")

    def advanced(self, done: float) -> None:
        """See ``Listener``."""
        self._progress.update(self._task, completed=done)

    def finished(self, phase: Phase, outcome: Outcome) -> None:
        """See ``Listener``."""
        self._progress.stop()
        self._progress.remove_task(self._task)
        if not self._quiet:
            out.print(step_line(phase, time.monotonic() - self._started_s, _words(outcome)))

    def noted(self, note: str) -> None:
        """See ``Listener``."""
        print_warning(note)


_DOING: dict[Phase, str] = {
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
