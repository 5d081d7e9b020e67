"""A run as the command line asks for it: which sinks its frames go to, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

from oakpoint.cli.ending import raise_if_heard
from oakpoint.cli.run_outputs import OpenOutputs, Outputs
from oakpoint.cli.run_progress import ProgressSink
from oakpoint.cli.run_results import ResultsSink, ResultsWriter
from oakpoint.cli.run_view import PageRequest
from oakpoint.errors import OakpointError
from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import Observation
from oakpoint.run.loop import follow
from oakpoint.run.sinks.together import SinksTogether
from oakpoint.run.tracking import FrameTracker
from oakpoint.view.results.base import FollowOptions
from oakpoint.view.results.registry import Following

FOLDER_FPS = 10.0
"""Playing rate of a recording whose source has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be done with frames and what is found in them as they come.

    Attributes:
        following: how it is followed.
        outputs: where frames go.
        max_frames: stop after as many; None goes on until the end or Ctrl-C.
        results: takes each frame's result as facts; None for nobody.
        page: shows it meanwhile; None for no page.
    """

    following: FollowOptions
    outputs: Outputs
    max_frames: int | None
    results: ResultsWriter | None = None
    page: PageRequest | None = None


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
    board: ControlBoard,
    request: Request,
    coming: Coming,
    *,
    status: Callable[[], str] = str,
) -> Outcome:
    """Take every frame. Whatever ends the run, recordings are finished, and the figures are there.

    Args:
        observations: closed at the end.
        board: the run's controls.
        request: what to do with them.
        coming: what is known of them.
        status: gives what more is to be shown as frames come.

    Raises:
        OakpointError, KeyboardInterrupt: before the first frame.
    """
    tracker = FrameTracker(board, None if coming.still else Following(request.following))
    total = min(filter(None, (coming.length, request.max_frames)), default=None)
    outputs = OpenOutputs(
        request.outputs, board, request.page, fps=coming.fps, live=coming.live, still=coming.still, single=total == 1
    )
    sinks = [*outputs.sinks]
    if request.results is not None:
        sinks.append(ResultsSink(request.results))
    if not coming.still:
        sinks.append(ProgressSink(total, status))
    followed = follow(
        observations,
        tracker,
        SinksTogether(sinks),
        max_frames=request.max_frames,
        ahead=not (coming.live or coming.still) and request.page is None,
        heard=raise_if_heard,
    )
    endless = coming.live or followed.lingered or request.page is not None
    return Outcome(followed.facts | outputs.facts(), followed.ended, endless)


def with_facts(outcome: Outcome, **facts: Any) -> Outcome:
    """The same with further facts."""
    return replace(outcome, facts=outcome.facts | facts)
