"""``oakpoint bench``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from oakpoint.cli.bench_camera import CameraBench, bench_camera
from oakpoint.cli.bench_host import HostBench, bench_host
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.options import Images, Json, Weights
from oakpoint.cli.run_routes import Camera, CameraRequest, Fps, NnThreads, Preview, Route, Shaves, Socket, Usb2
from oakpoint.errors import UsageError
from oakpoint.models.base import ModelOptions

ROUTES: Final[dict[str, Route]] = {"host": "host", "oak": "camera", "replay": "replay"}
WORDS: Final[dict[Route, str]] = {route: f"--device {device}" for device, route in ROUTES.items()}
FRAMES: Final = 100

_HOST, _CAMERA = "This machine", "OAK camera"


def _option(text: str, panel: str = _HOST, metavar: str | None = None) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        help=text, show_default=False, rich_help_panel=panel, metavar=metavar
    )
    return option


@with_model_options
def bench_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A bundle's folder, a .onnx file, acorn, superpoint, or package.module:Class; for a camera a bundle.",
            show_default=False,
        ),
    ],
    said: ModelOptions,
    device: Annotated[
        str,
        typer.Option(help="host: this machine; oak: a camera; replay: its stand-in here, to see what comes out."),
    ] = "host",
    weights: Weights = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html, its facts, a table and a picture.", show_default=False),
    ] = None,
    seconds: Annotated[
        float, typer.Option(help="How long to measure: one image at a time, or on the camera's own frames.")
    ] = 20.0,
    images: Images = None,
    size: Annotated[str | None, _option("WIDTHxHEIGHT of the network. Default: its own, or 640x480.")] = None,
    backends: Annotated[str | None, _option("Runtimes, with commas. Default: torch,onnxruntime,openvino.")] = None,
    precisions: Annotated[
        str | None, _option("With commas. Default: f32,bf16,f16,int8, as far as they are there.")
    ] = None,
    threads: Annotated[str | None, _option("CPU threads, with commas. Default: 1 and all cores.")] = None,
    rounds: Annotated[int | None, _option("Rounds to measure. Default: as many as fit into --seconds.")] = None,
    streams: Annotated[
        int | None,
        _option("Models side by side, for images a second; 0: leave that out. Default: as cores allow, up to 4."),
    ] = None,
    no_memory: Annotated[
        bool,
        typer.Option(
            "--no-memory",
            help="Leave out memory, loading and first result, which take a process for each way.",
            rich_help_panel=_HOST,
        ),
    ] = False,
    against: Annotated[
        str | None, _option("The way that ratios are to, as the table calls it. Default: tutorial.", metavar="WAY")
    ] = None,
    tutorial: Annotated[
        str | None,
        _option("What runs in the original tutorial's way; none: nothing does. Default: MODEL.", metavar="MODEL"),
    ] = None,
    tutorial_weights: Annotated[Path | None, _option("Weights file for --tutorial.")] = None,
    save: Annotated[Path | None, _option("Write the picture to .png or .svg.")] = None,
    seed: Annotated[int | None, _option("Of the order of turns, and of intervals. Default: 0.")] = None,
    frames: Annotated[int | None, _option(f"Frames of this machine to time. Default: {FRAMES}.", _CAMERA)] = None,
    socket: Socket = None,
    fps: Fps = None,
    preview: Preview = None,
    nn_threads: NnThreads = None,
    shaves: Shaves = None,
    camera: Camera = None,
    usb2: Usb2 = False,
    as_json: Json = False,
) -> None:
    """Measure runtimes and precisions side by side on this machine, or a camera.

    On this machine: time, images a second, stages, memory; ratios to the original tutorial's way. A way that cannot be
    measured is left out, with its reason.

    A camera: outputs against the simulator, rate, latency. A part that fails is told, and the others are measured.
    Exit 1: outputs differ, or a part failed; 2: nothing compared.

    Ctrl-C leaves what there is.
    """
    if device not in ROUTES:
        raise UsageError(f"device: expected one of {', '.join(ROUTES)}, got {device!r}")
    if frames is not None and frames < 1:
        raise UsageError(f"--frames: expected 1 or more, got {frames}")
    if not seconds > 0:
        raise UsageError(f"--seconds: expected more than 0, got {seconds:g}")
    asked = CameraRequest(
        socket=socket, fps=fps, preview=preview, nn_threads=nn_threads, shaves=shaves, camera=camera, usb2=usb2,
        reconnect=False, stand_in=None,
    )  # fmt: skip
    asked.check(ROUTES[device], WORDS)
    if device == "host":
        if frames is not None:
            raise UsageError("--frames: counts with --device oak or --device replay only")
        said = said if weights is None else replace(said, weights=weights)
        bench_host(
            HostBench(
                model=model, said=said, size=size, backends=backends, precisions=precisions, threads=threads,
                tutorial=tutorial, tutorial_weights=tutorial_weights, against=against, rounds=rounds, seconds=seconds,
                streams=streams, memory=not no_memory, seed=seed, images=images, report=report, save=save,
                as_json=as_json,
            )
        )  # fmt: skip
        return
    _check_no_host_options(
        weights=weights, size=size, backends=backends, precisions=precisions, threads=threads, rounds=rounds,
        streams=streams, against=against, tutorial=tutorial, tutorial_weights=tutorial_weights, save=save, seed=seed,
        no_memory=no_memory or None,
    )  # fmt: skip
    if said != ModelOptions():
        raise UsageError("a camera runs a bundle, whose manifest tells of its network; leave out what is said of it")
    bench_camera(
        CameraBench(
            bundle=model, options=asked.options() if device == "oak" else None, seconds=seconds,
            frames=FRAMES if frames is None else frames, images=images, report=report, as_json=as_json,
        )
    )  # fmt: skip


def _check_no_host_options(**given: object) -> None:
    """Refuse options that a camera does not have.

    Raises:
        UsageError: one was given.
    """
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')}: counts with {WORDS['host']} only")
