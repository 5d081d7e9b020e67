"""Frames of any source to every sink, until something ends the run; whatever it is, what came before is kept."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from oakpoint.errors import OakpointError, OutputError, first_line
from oakpoint.files import interrupts_held
from oakpoint.pipeline import Stage, overlapped
from oakpoint.run.controls import Controls
from oakpoint.run.frames import Observation, TrackedFrame
from oakpoint.run.sinks.together import SinksTogether
from oakpoint.run.summary import RunSummary
from oakpoint.run.tracking import FrameTracker

WAKE_S = 0.1
"""How long one wait lasts while a run is paused, so that Ctrl-C is heard in between."""

DRAWERS = 2
"""Frames that are drawn side by side."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came of a run.

    Attributes:
        facts: figures over all frames.
        ended: what ended the run before its time, for the caller to raise once the facts are told.
        lingered: nothing did, and the last frame was shown until ``ended``.
    """

    facts: dict[str, Any]
    ended: OakpointError | KeyboardInterrupt | None
    lingered: bool = False


def follow(
    observations: Generator[Observation, None, None],
    tracker: FrameTracker,
    sinks: SinksTogether,
    *,
    max_frames: int | None = None,
    ahead: bool = False,
    heard: Callable[[], None] = lambda: None,
) -> Followed:
    """Take every frame. Whatever ends the run, the sinks are finished, and the figures are there.

    Args:
        observations: closed at the end.
        tracker: reads and follows them.
        sinks: get every frame.
        max_frames: stop after as many; None goes on until the end or Ctrl-C.
        ahead: follow and draw some frames ahead of the sinks, beside them; for frames of a file, with controls that
            nobody turns.
        heard: raises what a library's callback may have swallowed of Ctrl-C.

    Raises:
        OakpointError, KeyboardInterrupt: before the first frame; the sinks are let go.
    """
    summary, lingered = RunSummary(), False
    ended: OakpointError | KeyboardInterrupt | None = None
    try:
        tracked = _frames(tracker, observations, sinks, ahead=ahead)
        with contextlib.closing(observations), contextlib.closing(tracked) as frames:
            for frame in itertools.islice(frames, max_frames):
                heard()
                with interrupts_held():  # a frame is everywhere and in the figures, or nowhere
                    sinks.add(frame)
                    summary.add(frame)
                if summary.frames != max_frames:
                    _show_last(frame.controls, _paused_since(frame.controls), tracker, sinks, heard)
        if summary.frames and summary.frames != max_frames and sinks.linger:
            lingered = True
            sinks.finish(lingering=True)
            _show_last(frame.controls, lambda _: sinks.linger, tracker, sinks, heard)
    except (OakpointError, KeyboardInterrupt) as error:
        ended = error
    except Exception as error:  # noqa: BLE001  # a fault of ours, or of a library, is no reason to lose a recording
        ended = _unforeseen(error, summary.frames)
    if summary.frames == 0:
        sinks.abort()
        raise ended or OutputError("no frame came, nothing is written")
    try:
        _finish(sinks)
    except KeyboardInterrupt as error:
        ended = ended or error
    except Exception as error:  # noqa: BLE001  # likewise
        ended = _unfinished(error, ended, summary.frames)
    return Followed(facts=summary.facts(), ended=ended, lingered=lingered)


def _frames(
    tracker: FrameTracker, observations: Generator[Observation, None, None], sinks: SinksTogether, *, ahead: bool
) -> Generator[TrackedFrame, None, None]:
    """Each observation as a frame; ``ahead``, in threads of their own."""
    frames = tracker.frames(observations)
    return overlapped(frames, Stage(sinks.prepare, DRAWERS, "draw")) if ahead else frames


def _finish(sinks: SinksTogether) -> None:
    """Finish all sinks, also where a further signal comes before or meanwhile; it is raised when they are finished."""
    try:
        sinks.finish()
    except KeyboardInterrupt:
        sinks.finish()  # those that are left
        raise


def _paused_since(seen: Controls) -> Callable[[Controls], bool]:
    """Whether no frame is wanted after one that was read with these controls."""
    return lambda controls: controls.paused and controls.steps == seen.steps


def _show_last(
    seen: Controls,
    stays: Callable[[Controls], bool],
    tracker: FrameTracker,
    sinks: SinksTogether,
    heard: Callable[[], None],
) -> None:
    """Show the last frame as the controls say, until a signal ends it or it is to stay no longer.

    Args:
        seen: the controls that the frame was read with.
        stays: whether it is to be shown further, by the present controls.
        tracker: see ``follow``.
        sinks: likewise.
        heard: likewise.
    """
    last, controls = seen, tracker.board.read()
    while stays(controls):
        if (last.task, last.drawn) != (controls.task, controls.drawn):
            frame = tracker.again(controls)
            with interrupts_held():
                sinks.redraw(frame)
        last, controls = controls, tracker.board.wait(controls, WAKE_S)
        heard()


def _unforeseen(error: Exception, frames: int) -> OakpointError:
    """What nobody foresaw, in one line, as an error that the program tells."""
    _log.info("a run ended", exc_info=error)
    told = OakpointError(
        f"after {frames} frames: {type(error).__name__}: {first_line(error)}; oakpoint -v run … shows where"
    )
    told.__cause__ = error
    return told


def _unfinished(error: Exception, ended: OakpointError | KeyboardInterrupt | None, frames: int) -> OakpointError:
    """What a sink could not finish, and what had ended the run before, if that is something else."""
    known = error if isinstance(error, OakpointError) else _unforeseen(error, frames)
    if ended is None or isinstance(ended, OutputError):
        return known
    both = type(known)(f"{known}; the run had ended: {first_line(ended) or type(ended).__name__}")
    both.__cause__ = ended
    return both
