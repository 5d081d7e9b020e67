"""``oakpoint run``."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from oakpoint.cli.console import out, print_warning
from oakpoint.cli.ending import exit_code_of, signal_of, words_for
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import (
    Decoding,
    Device,
    Iou,
    Json,
    Labels,
    MaxBoxes,
    MaxKeypoints,
    MaxMemory,
    MaxSide,
    NmsRadius,
    Precision,
    Subpixel,
    Threads,
    Threshold,
    Top,
    Upright,
    Weights,
    parse_size_or_native,
)
from oakpoint.cli.run_follow import FOLDER_FPS, Coming, Outcome, Request, follow_all, with_facts
from oakpoint.cli.run_outputs import Data, Descriptors, Outputs, RerunAddress, Save, View
from oakpoint.cli.run_results import ResultsWriter
from oakpoint.cli.run_routes import (
    OAK_SOURCE,
    Camera,
    CameraRequest,
    Fps,
    NnThreads,
    Preview,
    Reconnect,
    Shaves,
    Socket,
    StandIn,
    Usb2,
    check_host_options,
    route_of,
)
from oakpoint.cli.run_view import Host, Port, Recordings, asked_page, title_of
from oakpoint.errors import ImageError, UsageError
from oakpoint.files import shown_name
from oakpoint.images.sources import Frame, Source, open_source
from oakpoint.loading import load
from oakpoint.models.base import ModelOptions
from oakpoint.predictor import Predictor
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import observed_ahead, observed_frames
from oakpoint.run.sinks.data import RunFacts
from oakpoint.tasks.labels import read_labels
from oakpoint.view.results.base import FollowOptions
from oakpoint.view.results.registry import Following, words_of

if TYPE_CHECKING:
    from oakpoint.oak.options import OakOptions


@with_model_options
def run_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A bundle, a .onnx or .blob file, or a network's name.", show_default=False
        ),
    ],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Image, folder of images, video file, a webcam's number, or oak.", show_default=False
        ),
    ],
    save: Save = None,
    data: Data = None,
    descriptors: Descriptors = False,
    view: View = None,
    rerun_address: RerunAddress = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Runtime: openvino, onnxruntime, torch, or myriad_simulator (what the camera computes); depthai (an "
            "OAK camera), or depthai-replay (DepthAI's runtime with no camera). Default: openvino; for oak depthai.",
            show_default=False,
        ),
    ] = None,
    device: Device = "CPU",
    precision: Precision = "f32",
    threads: Threads = None,
    decoding: Decoding = "auto",
    weights: Weights = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT or native. Default: the bundle's.")] = None,
    max_side: MaxSide = None,
    max_memory: MaxMemory = None,
    upright: Upright = False,
    max_keypoints: MaxKeypoints = None,
    threshold: Threshold = None,
    nms_radius: NmsRadius = None,
    subpixel: Subpixel = None,
    iou: Iou = None,
    max_boxes: MaxBoxes = None,
    top: Top = None,
    labels: Labels = None,
    track_length: Annotated[int, typer.Option(help="Frames that a track is drawn back.")] = 20,
    match_distance: Annotated[float, typer.Option(help="Largest descriptor distance within a track.")] = 0.7,
    max_frames: Annotated[int | None, typer.Option(help="Stop after N frames.")] = None,
    socket: Socket = None,
    fps: Fps = None,
    preview: Preview = None,
    nn_threads: NnThreads = None,
    shaves: Shaves = None,
    camera: Camera = None,
    usb2: Usb2 = False,
    reconnect: Reconnect = False,
    stand_in: StandIn = None,
    host: Host = None,
    port: Port = None,
    recordings: Recordings = None,
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Show what a network finds (keypoints, boxes, masks, classes): on images, a video, a webcam or an OAK camera."""
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"max-frames: expected 1 or more, got {max_frames}")
    following = FollowOptions(max_length=track_length, max_distance=match_distance)
    Following(following)  # its options are checked before anything is loaded
    changes: dict[str, Any] = {
        "max_keypoints": max_keypoints,
        "threshold": threshold,
        "nms_radius_px": nms_radius,
        "subpixel": subpixel,
        "iou_threshold": iou,
        "max_boxes": max_boxes,
        "top": top,
        "labels": read_labels(labels) if labels is not None else None,
    }
    route = route_of(source, backend)
    asked = CameraRequest(
        socket=socket, fps=fps, preview=preview, nn_threads=nn_threads, shaves=shaves, camera=camera, usb2=usb2,
        reconnect=reconnect, stand_in=stand_in,
    )  # fmt: skip
    asked.check(route)
    if route != "host":
        check_host_options(
            weights=weights,
            said=said,
            size=size,
            max_side=max_side,
            max_memory=max_memory,
            device=device,
            precision=precision,
            threads=threads,
            decoding=decoding,
        )
    if view == "web" and decoding == "graph":
        raise UsageError(
            "decoding: graph has its options in it, and no heat map for --view web; leave --decoding out, or the page"
        )
    if route == "camera" and upright:
        raise UsageError(f"--upright: counts for image files, not for the source {OAK_SOURCE}")
    notice = notice_for(model)
    outputs = Outputs(
        save=save,
        data=data,
        descriptors=descriptors,
        view=view,
        rerun_address=rerun_address,
        facts=RunFacts(model=model, source=source, notice=notice),
    )
    outputs.check(reads_files=route != "camera")
    if route == "camera":
        outputs.check_places(still=False, single=max_frames == 1)
    page_asked = asked_page(view, host, port, recordings, title_of(model, source, notice))
    with page_asked as page, ResultsWriter() as results:
        request = Request(
            following=following,
            outputs=outputs,
            max_frames=max_frames,
            results=results if as_json else None,
            page=page,
        )
        if route == "camera":
            from oakpoint.cli.run_oak import run_camera

            outcome = run_camera(model, asked.options(), request, reconnect=reconnect, changes=changes)
        elif route == "replay":
            from oakpoint.cli.run_oak import run_replay

            outcome = run_replay(model, source, stand_in, request, upright=upright, changes=changes)
        else:
            if route == "chip":
                opened = partial(_on_camera, model, asked.options(), changes)
            else:
                opened = partial(
                    load,
                    model,
                    weights=weights,
                    said=said,
                    size=parse_size_or_native(size),
                    max_side=max_side,
                    max_memory_gb=max_memory,
                    backend=backend or "openvino",
                    device=device,
                    precision=precision,
                    threads=threads,
                    decoding=decoding,
                    **changes,
                )
            outcome = _run_on_host(source, opened, request, upright=upright)
        facts = outcome.facts | {"notice": notice}
        if as_json:
            results.finish(facts)
    if not as_json:
        _print_facts(facts)
    _end(outcome)


def _end(outcome: Outcome) -> None:
    """Leave with what ended the run, if anything did; it is no error where nothing else could have."""
    if isinstance(outcome.ended, KeyboardInterrupt) and outcome.endless:
        number = signal_of(outcome.ended)
        print_warning(f"stopped by {words_for(number)}")
        sys.exit(exit_code_of(number))
    if outcome.ended is not None:
        raise outcome.ended


def _on_camera(model: str, options: OakOptions, changes: Mapping[str, Any], *, in_flight: int | None) -> Predictor[Any]:
    """A camera's network, on frames of this machine, one at a time."""
    del in_flight
    from oakpoint.oak.extractor import camera_extractor
    from oakpoint.oak.model import open_device_model

    return camera_extractor(open_device_model(model, **changes), options)


def _run_on_host(source: str, opened: Callable[..., Predictor[Any]], request: Request, *, upright: bool) -> Outcome:
    """Run a network on images of this machine; it is opened once they are there, and there is a place for the rest."""
    with contextlib.ExitStack() as stack:
        frames = stack.enter_context(open_source(source, upright=upright))
        still = frames.kind == "image"
        request.outputs.check_places(still=still, single=1 in (frames.length, request.max_frames))
        many = not (still or frames.live)  # they are to be done soon as a whole, not each of them
        predictor = stack.enter_context(opened(in_flight=None if many else 1))
        coming = Coming(fps=frames.fps or FOLDER_FPS, live=frames.live, length=frames.length, still=still)
        board = ControlBoard(predictor.task)
        if many:
            wanted = itertools.islice(_usable(frames, predictor), request.max_frames)
            observations = observed_ahead(wanted, predictor, lambda: board.read().task, turned=request.page is not None)
        else:
            usable = (
                _warmed(frames, predictor, turned=request.page is not None) if still else _usable(frames, predictor)
            )
            observations = observed_frames(usable, predictor, turned=request.page is not None)
        outcome = follow_all(observations, board, request, coming)
        if still:
            del outcome.facts["rate_fps"]
        unreadable = [f"{item.name}: {item.reason}" for item in frames.unreadable]
        return with_facts(outcome, backend=predictor.description(), unreadable=unreadable)


def _warmed(frames: Source, predictor: Predictor[Any], *, turned: bool) -> Iterator[Frame]:
    """An image by itself, once its model is loaded: it is the second run that is timed."""
    read = predictor.reading if turned else predictor.final_reading
    for frame in frames:
        read(frame.image)
        yield frame


def _usable(frames: Source, predictor: Predictor[Any]) -> Iterator[Frame]:
    """The images that the network takes; in a folder, others are left out as long as there is one of them.

    Raises:
        ImageError: an image that it does not take, or not one in a folder.
    """
    refused: ImageError | None = None
    any_taken = False
    for frame in frames:
        try:
            predictor.check(frame.image)
        except ImageError as error:
            if frames.kind != "folder":
                raise
            frames.leave_out(frame, str(error))
            refused = refused or error
            continue
        any_taken = True
        yield frame
    if refused is not None and not any_taken:
        raise refused


def _print_facts(facts: dict[str, Any]) -> None:
    if "latency_ms_median" in facts:
        from oakpoint.cli.run_oak import live_line

        _say(live_line(facts))
    else:
        _print_host_line(facts)
    for name in ("saved", "data"):
        if facts.get(name):
            _say(f"{name} {facts[name]}")


def _print_host_line(facts: dict[str, Any]) -> None:
    doing = {"keypoints": "to extract"}.get(facts["found"], "to find")
    parts = [f"{facts['frames']} frames", *words_of(facts)]
    if "rate_fps" in facts:
        doing += " and track" if "tracks" in facts else ""
        if facts["rate_fps"] is not None:
            parts.append(f"{facts['rate_fps']:.1f} fps overall")
    parts.append(f"{facts['milliseconds_median']:.1f} ms a frame {doing} on {facts['backend']}")
    _say(", ".join(parts))


def _say(line: str) -> None:
    """Print what holds names of files and labels of networks, which are anybody's."""
    out.print(escape(shown_name(line)))
