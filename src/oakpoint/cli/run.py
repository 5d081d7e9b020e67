"""``oakpoint run``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from oakpoint.cli.console import out, print_json, progress_bar
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import (
    Backend,
    Device,
    Json,
    MaxKeypoints,
    NmsRadius,
    Precision,
    Subpixel,
    Threshold,
    Weights,
    parse_size_or_native,
)
from oakpoint.errors import UsageError
from oakpoint.extractor import Extractor, load
from oakpoint.features.tracking import Tracker
from oakpoint.images.sources import Source, open_source
from oakpoint.view.draw import draw_keypoints, with_status
from oakpoint.view.picture import write_image
from oakpoint.view.playback import RunSummary, TrackedFrame, picture_of, tracked_frames
from oakpoint.view.recording import open_recording

STILL_SUFFIXES = (".png", ".jpg", ".jpeg")
FOLDER_FPS = 10.0
"""Playing rate of a recording whose source has none."""


def run_command(
    model: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A bundle; or a .onnx file or a network's name.", show_default=False)
    ],
    source: Annotated[
        str, typer.Argument(help="Image, folder of images, video file, or a webcam's number.", show_default=False)
    ],
    save: Annotated[
        Path | None,
        typer.Option(help="Record to .mp4, .gif or a folder of PNG; .png or .jpg for one image.", show_default=False),
    ] = None,
    backend: Backend = "openvino",
    device: Device = "CPU",
    precision: Precision = "f32",
    weights: Weights = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT or native. Default: the bundle's.")] = None,
    max_keypoints: MaxKeypoints = None,
    threshold: Threshold = None,
    nms_radius: NmsRadius = None,
    subpixel: Subpixel = None,
    track_length: Annotated[int, typer.Option(help="Frames that a track is drawn back.")] = 20,
    match_distance: Annotated[float, typer.Option(help="Largest descriptor distance within a track.")] = 0.7,
    max_frames: Annotated[int | None, typer.Option(help="Stop after N frames.")] = None,
    as_json: Json = False,
) -> None:
    """Find keypoints and follow them: on an image, a folder, a video or a webcam."""
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"max-frames: expected 1 or more, got {max_frames}")
    tracker = Tracker(max_length=track_length, max_distance=match_distance)
    extractor = load(
        model,
        weights=weights,
        size=parse_size_or_native(size),
        backend=backend,
        device=device,
        precision=precision,
        max_keypoints=max_keypoints,
        threshold=threshold,
        nms_radius_px=nms_radius,
        subpixel=subpixel,
    )
    notice = notice_for(model)
    with extractor, open_source(source) as frames:
        if frames.kind == "image":
            facts = _run_on_image(frames, extractor, save, notice)
        else:
            facts = _run_on_frames(frames, extractor, tracker, save, notice, max_frames)
        facts["notice"] = notice
        facts["backend"] = extractor.description()
        facts["unreadable"] = [f"{item.name}: {item.reason}" for item in frames.unreadable]
    _print_facts(facts, save, as_json=as_json)


def _run_on_image(frames: Source, extractor: Extractor, save: Path | None, notice: str | None) -> dict[str, Any]:
    image = next(iter(frames)).image
    extractor(image)  # the first run loads the model; the second one is timed
    start = time.perf_counter()
    features = extractor(image)
    milliseconds = 1e3 * (time.perf_counter() - start)
    if save is not None:
        if save.suffix.lower() not in STILL_SUFFIXES:
            raise UsageError(
                f"{save}: expected {', '.join(STILL_SUFFIXES)} for one image, got {save.suffix or 'no suffix'}"
            )
        figures = [f"{len(features)} keypoints", f"{milliseconds:.1f} ms", *([notice] if notice else [])]
        write_image(save, with_status(draw_keypoints(image, features), figures))
    return {"frames": 1, "keypoints_mean": float(len(features)), "milliseconds_median": milliseconds}


def _run_on_frames(
    frames: Source, extractor: Extractor, tracker: Tracker, save: Path | None, notice: str | None, limit: int | None
) -> dict[str, Any]:
    followed = _with_progress(
        _limited(tracked_frames((frame.image for frame in frames), extractor, tracker), limit),
        min(filter(None, (frames.length, limit)), default=None),
    )
    summary = RunSummary()
    with contextlib.ExitStack() as stack:
        recording = None
        if save is not None:
            recording = stack.enter_context(open_recording(save, fps=frames.fps or FOLDER_FPS))
        for frame in followed:
            summary.add(frame)
            if recording is not None:
                recording.write(picture_of(frame, notice=notice))
    return summary.facts()


def _limited(frames: Iterator[TrackedFrame], limit: int | None) -> Iterator[TrackedFrame]:
    for index, frame in enumerate(frames):
        yield frame
        if limit is not None and index + 1 >= limit:
            return


def _with_progress(frames: Iterator[TrackedFrame], length: int | None) -> Iterator[TrackedFrame]:
    with progress_bar() as progress:
        task = progress.add_task("frames", total=length)
        for frame in frames:
            progress.update(
                task, advance=1, description=f"{frame.rate_fps:5.1f} fps  {len(frame.features):4d} keypoints"
            )
            yield frame


def _print_facts(facts: dict[str, Any], save: Path | None, *, as_json: bool) -> None:
    if as_json:
        print_json(facts | {"saved": str(save) if save else None})
        return
    out.print(
        f"{facts['frames']} frames, {facts['keypoints_mean']:.0f} keypoints a frame"
        + (f", {facts['tracks_mean_per_frame']:.0f} of them tracked" if "tracks" in facts else "")
        + f", {facts['milliseconds_median']:.1f} ms a frame on {facts['backend']}"
    )
    if save is not None:
        out.print(f"saved {save}")
