"""A run as the command line asks for it: which sinks its frames go to, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oakpoint.cli.console import print_warning
from oakpoint.cli.ending import raise_if_heard
from oakpoint.cli.run_progress import ProgressSink
from oakpoint.cli.run_results import ResultsSink, ResultsWriter
from oakpoint.errors import OakpointError, UsageError
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import Observation
from oakpoint.run.loop import follow
from oakpoint.run.sinks.base import Sink
from oakpoint.run.sinks.recording import RecordingSink
from oakpoint.run.sinks.together import SinksTogether
from oakpoint.run.tracking import FrameTracker
from oakpoint.tasks.base import Task
from oakpoint.view.picture import STILL_SUFFIXES
from oakpoint.view.results.base import FollowOptions
from oakpoint.view.results.registry import Following

FOLDER_FPS = 10.0
"""Playing rate of a recording whose source has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be done with frames and what is found in them as they come.

    Attributes:
        following: how it is followed.
        save: where to record; None for nowhere.
        notice: stands on every picture.
        max_frames: stop after as many; None goes on until the end or Ctrl-C.
        results: takes each frame's result as facts; None for nobody.
    """

    following: FollowOptions
    save: Path | None
    notice: str | None
    max_frames: int | None
    results: ResultsWriter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """What is known of the frames to come.

    Attributes:
        fps: at which a recording is to be played.
        live: they come from a camera at its own pace, and would never end by themselves.
        length: how many there will be, where that is known.
        still: it is one image by itself.
    """

    fps: float
    live: bool = False
    length: int | None = None
    still: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        facts: figures over all frames, and where they were recorded.
        ended: what ended the run before its time, for the caller to raise once the facts are told.
        endless: the run would never have ended by itself, so that Ctrl-C is the end that was meant.
    """

    facts: dict[str, Any]
    ended: OakpointError | KeyboardInterrupt | None
    endless: bool = False


def follow_all(
    observations: Generator[Observation, None, None],
    task: Task[Any],
    request: Request,
    coming: Coming,
    *,
    status: Callable[[], str] = str,
) -> Outcome:
    """Take every frame. Whatever ends the run, recordings are finished, and the figures are there.

    Args:
        observations: closed at the end.
        task: as the network was opened.
        request: what to do with them.
        coming: what is known of them.
        status: gives what more is to be shown as frames come.

    Raises:
        OakpointError, KeyboardInterrupt: before the first frame.
    """
    board = ControlBoard(task)
    tracker = FrameTracker(board, None if coming.still else Following(request.following))
    total = min(filter(None, (coming.length, request.max_frames)), default=None)
    recording = _recording(request, coming, total)
    sinks: list[Sink] = [] if recording is None else [recording]
    if request.results is not None:
        sinks.append(ResultsSink(request.results))
    if not coming.still:
        sinks.append(ProgressSink(total, status))
    followed = follow(observations, tracker, SinksTogether(sinks), max_frames=request.max_frames, heard=raise_if_heard)
    if recording is not None and recording.cut_s:
        print_warning(f"the recording leaves out {recording.cut_s:.0f} s in which no frame came")
    saved = str(request.save) if recording is not None and recording.in_place else None
    return Outcome(followed.facts | {"saved": saved}, followed.ended, coming.live or followed.lingered)


def _recording(request: Request, coming: Coming, total: int | None) -> RecordingSink | None:
    save = request.save
    if save is None:
        return None
    if coming.still and save.suffix.lower() not in STILL_SUFFIXES:
        raise UsageError(
            f"{save}: expected {', '.join(STILL_SUFFIXES)} for one image, got {save.suffix or 'no suffix'}"
        )
    recording = RecordingSink.to(save, fps=coming.fps, live=coming.live, single=total == 1, notice=request.notice)
    if recording.note:
        print_warning(recording.note)
    return recording


def with_facts(outcome: Outcome, **facts: Any) -> Outcome:
    """The same with further facts."""
    return replace(outcome, facts=outcome.facts | facts)
