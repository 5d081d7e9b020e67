"""``oakpoint run BUNDLE oak``, and the same pipeline with no camera: ``--backend depthai-replay``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from oakpoint.cli.console import print_warning
from oakpoint.cli.run_follow import FOLDER_FPS, Coming, Outcome, Request, follow_all, with_facts
from oakpoint.errors import DeviceError, DeviceLostError
from oakpoint.images.sources import open_source
from oakpoint.oak.camera import open_camera, same_camera
from oakpoint.oak.feed import Feed
from oakpoint.oak.live import LiveStatistics, ReconnectingFrames, Timing
from oakpoint.oak.model import STAND_INS, open_device_model, open_stand_in
from oakpoint.oak.options import OakOptions
from oakpoint.oak.replay import open_replay
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import observed_live_frames
from oakpoint.tasks.base import Task
from oakpoint.view.results.registry import words_of


def run_camera(
    bundle: str, options: OakOptions, request: Request, *, reconnect: bool, changes: dict[str, Any]
) -> Outcome:
    """Run on a camera until it is lost, ``max_frames`` are there, or Ctrl-C.

    Raises:
        OakpointError: nothing came of the run.
    """
    model = open_device_model(bundle, **changes)
    statistics, opened = LiveStatistics(), _Opened()
    frames = ReconnectingFrames(
        same_camera(lambda chosen: open_camera(model, chosen), options),
        statistics,
        Timing(),
        reconnect=reconnect,
        opened=opened,
        waiting=_tell_of_waiting,
    )
    coming = Coming(fps=options.fps, live=True)
    outcome = _follow(frames, model.task, statistics, opened, request, coming)
    if isinstance(outcome.ended, DeviceLostError) and not reconnect:
        return replace(outcome, ended=DeviceLostError(f"{outcome.ended}; --reconnect opens a lost camera again"))
    return outcome


def run_replay(
    bundle: str, source: str, stand_in: str | None, request: Request, *, upright: bool, changes: dict[str, Any]
) -> Outcome:
    """Run on a source of this machine, through DepthAI's runtime on the host; see ``run_camera``."""
    statistics, opened = LiveStatistics(), _Opened()
    with contextlib.ExitStack() as stack:
        images = stack.enter_context(open_source(source, upright=upright))
        request.outputs.check_places(still=False, single=1 in (images.length, request.max_frames))
        model, backend = open_stand_in(bundle, stand_in or STAND_INS[0], **changes)
        stack.enter_context(backend)
        frames = ReconnectingFrames(
            lambda: open_replay((image.image for image in images), model, backend),
            statistics,
            Timing(stall_s=None, pair_wait_s=math.inf),
            reconnect=False,
            opened=opened,
            waiting=_tell_of_waiting,
        )
        coming = Coming(fps=images.fps or FOLDER_FPS, live=images.live, length=images.length)
        outcome = _follow(frames, model.task, statistics, opened, request, coming)
        return with_facts(outcome, unreadable=[f"{item.name}: {item.reason}" for item in images.unreadable])


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
    frames: ReconnectingFrames,
    task: Task[Any],
    statistics: LiveStatistics,
    opened: _Opened,
    request: Request,
    coming: Coming,
) -> Outcome:
    with contextlib.closing(frames):  # gives the camera back, after the recording is finished
        observed = observed_live_frames(frames)
        outcome = follow_all(observed, ControlBoard(task), request, coming, status=lambda: _counts(statistics.counts()))
    facts = outcome.facts | statistics.facts()
    del facts["milliseconds_median"]  # of the host's network, which there is none of here
    facts |= {"device": opened.facts, "backend": opened.description, "notes": list(opened.notes)}
    return replace(outcome, facts=facts)


_COUNTS = {
    "results_dropped_by_host": "dropped",
    "frames_lost": "lost",
    "frames_skipped_by_network": "skipped by the network",
    "reconnects": "reconnected",
}


def _counts(facts: Mapping[str, Any]) -> str:
    """What was left out, and how often the camera was opened again, if it was."""
    return ", ".join(f"{facts[name]} {word}" for name, word in _COUNTS.items() if facts[name] or name != "reconnects")


def live_line(facts: dict[str, Any]) -> str:
    """The facts of a run in one line."""
    rate, delay = facts["rate_fps"], facts["latency_ms_median"]
    parts = [
        f"{facts['frames']} frames",
        *words_of(facts),
        *([f"{rate:.1f} fps"] if rate is not None else []),
        *([f"latency {delay:.0f} ms (95 %: {facts['latency_ms_p95']:.0f})"] if delay is not None else []),
        _counts(facts),
    ]
    return ", ".join(parts) + f", on {facts['backend']}"
