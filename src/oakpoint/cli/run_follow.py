"""Frames of any kind followed to their end: shown as they come, recorded, summed up."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oakpoint.cli.console import print_progress, print_warning, progress_bar
from oakpoint.cli.ending import raise_if_heard
from oakpoint.errors import OakpointError, first_line
from oakpoint.files import interrupts_held
from oakpoint.view.pacing import PacedWriter
from oakpoint.view.playback import RunSummary, TrackedFrame, picture_of, timing_of
from oakpoint.view.recording import Recording, open_recording
from oakpoint.view.results.base import Follower
from oakpoint.view.results.registry import view_of

FOLDER_FPS = 10.0
"""Playing rate of a recording whose source has none."""

LINE_EVERY_S = 5.0
"""How often a run says where it is, where no bar is shown."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is to be done with frames and what is found in them as they come.

    Attributes:
        follower: follows it.
        save: where to record; None for nowhere.
        notice: stands on every picture.
        max_frames: stop after as many; None goes on until the end or Ctrl-C.
        results: takes each frame's result as facts; None for nobody.
    """

    follower: Follower
    save: Path | None
    notice: str | None
    max_frames: int | None
    results: Callable[[Mapping[str, Any]], None] | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of a run.

    Attributes:
        facts: figures over all frames, and where they were recorded.
        ended: what ended the run before its time, for the caller to raise once the facts are told.
        live: the frames would never have ended by themselves, so that Ctrl-C is the end that was meant.
    """

    facts: dict[str, Any]
    ended: OakpointError | KeyboardInterrupt | None
    live: bool = False


def follow(
    frames: Generator[TrackedFrame, None, None],
    run: Run,
    *,
    fps: float,
    live: bool = False,
    length: int | None = None,
    status: Callable[[], str] = str,
) -> Followed:
    """Take every frame. Whatever ends the run, the recording is finished, and the figures are there.

    Args:
        frames: closed at the end.
        run: what to do with them.
        fps: at which a recording is to be played.
        live: frames come from a camera at its own pace: record each for as long as it took until the next one came.
            False: each one once.
        length: how many there will be, where that is known.
        status: gives what more is to be shown as frames come.

    Raises:
        OakpointError, KeyboardInterrupt: before the first frame.
    """
    summary = RunSummary()
    total = min(filter(None, (length, run.max_frames)), default=None)
    ended: OakpointError | KeyboardInterrupt | None = None
    recording: Recording | None = None
    pace: PacedWriter | None = None
    try:
        with contextlib.closing(frames), contextlib.ExitStack() as stack:
            if run.save is not None:
                recording = stack.enter_context(open_recording(run.save, fps=fps, single=total == 1))
                if recording.note:
                    print_warning(recording.note)
                if live and recording.plays:
                    pace = PacedWriter(recording.write, recording.repeat, fps=fps)
            for frame in _shown(itertools.islice(frames, run.max_frames), total, status):
                raise_if_heard()
                with interrupts_held():  # a frame is in the recording and in the figures, or in neither
                    _record(frame, recording, pace, run.notice)
                    summary.add(frame)
                    if run.results is not None:
                        run.results(frame.facts())
    except (OakpointError, KeyboardInterrupt) as error:
        ended = error
    except Exception as error:  # noqa: BLE001  # a fault of ours, or of a library, is no reason to lose a recording
        ended = _told(error, summary.frames)
    if ended is not None and summary.frames == 0:
        raise ended
    if pace is not None and pace.cut_s:
        print_warning(f"the recording leaves out {pace.cut_s:.0f} s in which no frame came")
    saved = recording is not None and recording.in_place
    return Followed(summary.facts() | {"saved": str(run.save) if saved else None}, ended, live)


def _record(frame: TrackedFrame, recording: Recording | None, pace: PacedWriter | None, notice: str | None) -> None:
    """Draw a frame and write it, if it is to be recorded."""
    picture = partial(picture_of, frame, notice=notice)
    if pace is not None and frame.time_s is not None:
        pace.add(picture, frame.time_s)
    elif recording is not None:
        recording.write(picture())


def _told(error: Exception, frames: int) -> OakpointError:
    """What nobody foresaw, in one line, as an error that the program tells."""
    _log.info("a run ended", exc_info=error)
    told = OakpointError(
        f"after {frames} frames: {type(error).__name__}: {first_line(error)}; oakpoint -v run … shows where"
    )
    told.__cause__ = error
    return told


def _shown(frames: Iterator[TrackedFrame], length: int | None, status: Callable[[], str]) -> Iterator[TrackedFrame]:
    """Show each frame's figures: on a terminal as a bar, elsewhere as a line now and then."""
    with progress_bar() as progress:
        task = progress.add_task("frames", total=length)
        told_s = time.monotonic()
        for number, frame in enumerate(frames, start=1):
            text = ", ".join(filter(None, (_figures(frame), status())))
            progress.update(task, advance=1, description=text)
            if progress.disable and time.monotonic() - told_s >= LINE_EVERY_S:
                told_s = time.monotonic()
                print_progress(f"{number}{f' of {length}' if length else ''} frames, {text}")
            yield frame


def _figures(frame: TrackedFrame) -> str:
    return ", ".join([*timing_of(frame), view_of(frame.result).figures(frame.result, None)[0]])
