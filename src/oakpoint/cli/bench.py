"""``oakpoint bench``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.myriad_simulator import MyriadSimulatorBackend
from oakpoint.bench.camera import CameraFigures, compare_with_simulator, measure_camera, measure_host_frames
from oakpoint.bench.report import check_report_folder, report_facts, table, write_report
from oakpoint.bundle.records import Verdict
from oakpoint.cli.console import out, print_json, print_warning, step_line, verdict_text
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import Images, Json
from oakpoint.cli.run_routes import Camera, CameraRequest, Fps, NnThreads, Preview, Route, Shaves, Socket, Usb2
from oakpoint.errors import UsageError
from oakpoint.images.moving_view import moving_view
from oakpoint.oak.camera import open_camera
from oakpoint.oak.feed import Feed
from oakpoint.oak.host_frames import HostFramesBackend, open_host_frames, open_host_frames_stand_in
from oakpoint.oak.live import LiveStatistics, Timing, live_frames
from oakpoint.oak.model import DeviceModel, open_device_model
from oakpoint.oak.options import OakOptions
from oakpoint.oak.replay import open_replay
from oakpoint.verify.photographs import load_photographs

ROUTES: dict[str, Route] = {"oak": "camera", "replay": "replay"}
WORDS: dict[Route, str] = {route: f"--device {device}" for device, route in ROUTES.items()}
EXIT_FAILED, EXIT_NOTHING_COMPARED = 1, 2


def bench_command(
    bundle: Annotated[str, typer.Argument(help="Folder of the bundle.", show_default=False)],
    device: Annotated[
        str, typer.Option(help="oak: a camera; replay: its stand-in on this machine, to see what comes out.")
    ] = "oak",
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.json, report.md and a picture.", show_default=False)
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
    """Measure a camera: outputs against the simulator, rate, latency. Exit 1: outputs differ; 2: nothing compared."""
    if device not in ROUTES:
        raise UsageError(f"device: expected one of {', '.join(ROUTES)}, got {device!r}")
    if frames < 1 or not seconds > 0:
        raise UsageError(f"expected 1 or more --frames and more than 0 --seconds, got {frames} and {seconds:g}")
    if report is not None:
        check_report_folder(report)
    asked = CameraRequest(
        socket=socket, fps=fps, preview=preview, nn_threads=nn_threads, shaves=shaves, camera=camera, usb2=usb2,
        reconnect=False, stand_in=None,
    )  # fmt: skip
    asked.check(ROUTES[device], WORDS)
    notice_for(bundle)
    model, photographs = open_device_model(bundle), load_photographs(images)
    if not photographs:
        raise UsageError(f"{images}: no images to measure on")
    options = asked.options() if device == "oak" else None
    with contextlib.ExitStack() as stack:
        subject = _Subject(model, options, stack, photographs)
        facts, figures, verdict = _measure(subject, seconds=seconds, frames=frames, quiet=as_json)
    if report is not None:
        write_report(report, facts, figures)
    if as_json:
        print_json(facts | {"report": str(report) if report else None})
    else:
        out.print(table(facts), end="", markup=False)
        if report is not None:
            out.print(f"report in [bold]{report}[/]")
    if verdict is not Verdict.PASS:
        raise typer.Exit(EXIT_FAILED if verdict is Verdict.FAIL else EXIT_NOTHING_COMPARED)


class _Subject:
    """What is measured: a camera, or its stand-in, which runs the executed blob."""

    def __init__(
        self,
        model: DeviceModel,
        options: OakOptions | None,
        stack: contextlib.ExitStack,
        photographs: dict[str, NDArray[np.uint8]],
    ) -> None:
        self.model = model
        self.options = options
        self.photographs = photographs
        self._stack = stack

    def open_simulator(self) -> Backend:
        """The executed blob."""
        return MyriadSimulatorBackend(self.model.bundle.path("blob"), size=self.model.size)

    def open_chip(self) -> HostFramesBackend:
        """The network, on frames of this machine."""
        if self.options is not None:
            return open_host_frames(self.model, self.options)
        return open_host_frames_stand_in(self.model, self._stack.enter_context(self.open_simulator()))

    def open_feed(self) -> tuple[Feed, Timing]:
        """The camera; of the stand-in a view that moves over a photograph, for ever."""
        if self.options is not None:
            return open_camera(self.model, self.options), Timing()
        backend = self._stack.enter_context(self.open_simulator())
        return open_replay(self._view(), self.model, backend), Timing(stall_s=None)

    def _view(self) -> Iterator[NDArray[np.uint8]]:
        photograph = next(iter(self.photographs.values()))
        size = photograph.shape[1] // 2, photograph.shape[0] // 2
        while True:
            for known in moving_view(photograph, size=size, frames=60):
                yield known.image


def _measure(
    subject: _Subject, *, seconds: float, frames: int, quiet: bool
) -> tuple[dict[str, Any], CameraFigures, Verdict]:
    def tell(step: str, started_s: float, text: str) -> None:
        if not quiet:
            out.print(step_line(step, time.monotonic() - started_s, text))

    model, started_s = subject.model, time.monotonic()
    parity = compare_with_simulator(model, subject.open_simulator, subject.open_chip, subject.photographs)
    tell("parity", started_s, verdict_text(parity))
    tensors = [np.asarray(model.preprocess.apply(image)[0], np.uint8) for image in subject.photographs.values()]
    started_s = time.monotonic()
    with subject.open_chip() as chip:
        speed = measure_host_frames(chip, tensors, frames=frames, clock=time.monotonic)
        device = chip.facts
    tell("frames of host", started_s, f"{speed.rate_fps:.1f} a second, {speed.latency_ms_median:.1f} ms one at a time")
    statistics, started_s = LiveStatistics(), time.monotonic()
    opened, timing = subject.open_feed()
    with opened as feed:
        for note in feed.notes:
            print_warning(note)
        live = live_frames(feed, statistics, timing)
        camera = measure_camera(live, statistics, seconds=seconds, clock=time.monotonic)
    tell("camera", started_s, f"{camera.frames} frames, {camera.keypoints_mean:.0f} keypoints a frame")
    facts = report_facts(model, device, subject.options, parity, speed, camera)
    return facts, camera, parity.verdict
