"""``oakpoint run BUNDLE oak``, and the same pipeline with no camera: ``--backend depthai-replay``."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oakpoint.cli.console import print_warning, progress_bar
from oakpoint.errors import DeviceError, DeviceLostError
from oakpoint.features.tracking import Tracker
from oakpoint.images.sources import open_source
from oakpoint.oak.camera import open_camera, same_camera
from oakpoint.oak.feed import Feed
from oakpoint.oak.live import LiveFrame, LiveStatistics, Timing, reconnecting_frames
from oakpoint.oak.model import STAND_INS, open_device_model, open_stand_in
from oakpoint.oak.options import OakOptions
from oakpoint.oak.replay import open_replay
from oakpoint.view.pacing import PacedWriter
from oakpoint.view.playback import RunSummary, TrackedFrame, picture_of, tracked_live_frames
from oakpoint.view.recording import open_recording

FOLDER_FPS = 10.0
"""Playing rate of a recording whose source has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """What is to be done with frames and features as they come.

    Attributes:
        tracker: follows the keypoints.
        save: where to record; None for nowhere.
        notice: stands on every picture.
        max_frames: stop after as many; None goes on until the end or Ctrl-C.
    """

    tracker: Tracker
    save: Path | None
    notice: str | None
    max_frames: int | None


def run_camera(
    bundle: str, options: OakOptions, run: LiveRun, *, reconnect: bool, decode_changes: dict[str, Any]
) -> tuple[dict[str, Any], BaseException | None]:
    """Run on a camera until it is lost, ``max_frames`` are there, or Ctrl-C.

    Returns:
        The facts of the run, and what ended it before its time, for the caller to raise once the facts are told.

    Raises:
        OakpointError: nothing came of the run.
    """
    model = open_device_model(bundle, **decode_changes)
    statistics, opened = LiveStatistics(), _Opened()
    frames = reconnecting_frames(
        same_camera(lambda chosen: open_camera(model, chosen), options),
        statistics,
        Timing(),
        reconnect=reconnect,
        opened=opened,
        waiting=_tell_of_waiting,
    )
    return _follow(frames, statistics, opened, run, fps=options.fps, live=True)


def run_replay(
    bundle: str, source: str, stand_in: str | None, run: LiveRun, *, decode_changes: dict[str, Any]
) -> tuple[dict[str, Any], BaseException | None]:
    """Run on a source of this machine, through DepthAI's runtime on the host; see ``run_camera``."""
    model, backend = open_stand_in(bundle, stand_in or STAND_INS[0], **decode_changes)
    statistics, opened = LiveStatistics(), _Opened()
    with backend, open_source(source) as images:
        frames = reconnecting_frames(
            lambda: open_replay((image.image for image in images), model, backend),
            statistics,
            Timing(stall_s=None, pair_wait_s=math.inf),
            reconnect=False,
            opened=opened,
            waiting=_tell_of_waiting,
        )
        facts, ended = _follow(
            frames, statistics, opened, run, fps=images.fps or FOLDER_FPS, live=False, length=images.length
        )
        facts["unreadable"] = [f"{item.name}: {item.reason}" for item in images.unreadable]
    return facts, ended


class _Opened:
    """Takes what is known of the camera, and tells its notes once."""

    def __init__(self) -> None:
        self.description = ""
        self.facts: dict[str, object] = {}
        self.notes: tuple[str, ...] = ()

    def __call__(self, feed: Feed) -> None:
        self.description, self.facts = feed.description, feed.facts
        for note in feed.notes:
            if note not in self.notes:
                self.notes = (*self.notes, note)
                print_warning(note)


def _tell_of_waiting(error: DeviceError, seconds: float) -> None:
    print_warning(f"{error}; opening it again in {seconds:g} s")


def _follow(
    frames: Generator[LiveFrame, None, None],
    statistics: LiveStatistics,
    opened: _Opened,
    run: LiveRun,
    *,
    fps: float,
    live: bool,
    length: int | None = None,
) -> tuple[dict[str, Any], BaseException | None]:
    """Track, show progress and record; a recording is finished also when the camera is lost, and after Ctrl-C."""
    summary = RunSummary()
    ended: BaseException | None = None
    try:
        with contextlib.closing(frames):
            total = min(filter(None, (length, run.max_frames)), default=None)
            limited = itertools.islice(frames, run.max_frames)
            tracked = _with_progress(tracked_live_frames(limited, run.tracker), total)
            ended = _record(tracked, summary, run, fps=fps, live=live)
    except KeyboardInterrupt as interrupt:
        ended = interrupt
    facts = summary.facts() | statistics.facts()
    del facts["milliseconds_median"]  # of the host's extraction, which there is none of here
    return facts | {"device": opened.facts, "backend": opened.description, "notes": list(opened.notes)}, ended


def _record(
    tracked: Iterator[TrackedFrame], summary: RunSummary, run: LiveRun, *, fps: float, live: bool
) -> DeviceLostError | None:
    """Take every frame; give the loss of the camera back when there are frames to keep."""
    with contextlib.ExitStack() as stack:
        recording = stack.enter_context(open_recording(run.save, fps=fps)) if run.save else None
        paced = PacedWriter(recording.write, fps=fps) if recording is not None and live else None
        try:
            for frame in tracked:
                summary.add(frame)
                if paced is not None and frame.time_s is not None:
                    paced.add(partial(picture_of, frame, notice=run.notice), frame.time_s)
                elif recording is not None:
                    recording.write(picture_of(frame, notice=run.notice))
        except DeviceLostError as error:
            if summary.frames == 0:
                raise
            return error
    return None


def _with_progress(frames: Iterator[TrackedFrame], length: int | None) -> Iterator[TrackedFrame]:
    with progress_bar() as progress:
        task = progress.add_task("frames", total=length)
        for frame in frames:
            delay = f"{1e3 * (frame.latency_s or 0.0):4.0f} ms latency"
            text = f"{frame.rate_fps:5.1f} fps  {delay}  {len(frame.features):4d} keypoints"
            progress.update(task, advance=1, description=text)
            yield frame


def live_line(facts: dict[str, Any]) -> str:
    """The facts of a run in one line."""
    rate, delay = facts["rate_fps"], facts["latency_ms_median"]
    parts = [
        f"{facts['frames']} frames",
        f"{facts['keypoints_mean']:.0f} keypoints a frame",
        f"{facts['tracks_mean_per_frame']:.0f} of them tracked",
        *([f"{rate:.1f} fps"] if rate is not None else []),
        *([f"latency {delay:.0f} ms (95 %: {facts['latency_ms_p95']:.0f})"] if delay is not None else []),
        f"{facts['results_dropped_by_host']} dropped",
        f"{facts['frames_lost']} lost",
    ]
    return ", ".join(parts) + f", on {facts['backend']}"
