"""Frames of any kind followed to their end: shown as they come, recorded, summed up."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oakpoint.cli.console import print_warning, progress_bar
from oakpoint.errors import DeviceLostError
from oakpoint.features.tracking import Tracker
from oakpoint.view.pacing import PacedWriter
from oakpoint.view.playback import RunSummary, TrackedFrame, picture_of
from oakpoint.view.recording import open_recording

FOLDER_FPS = 10.0
"""Playing rate of a recording whose source has none."""

LINE_EVERY_S = 5.0
"""How often a run says where it is, where no bar is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
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


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of a run.

    Attributes:
        facts: figures over all frames, and where they were recorded.
        ended: what ended the run before its time, for the caller to raise once the facts are told.
    """

    facts: dict[str, Any]
    ended: BaseException | None


def follow(
    frames: Generator[TrackedFrame, None, None],
    run: Run,
    *,
    fps: float,
    paced: bool = False,
    length: int | None = None,
    status: Callable[[], str] = str,
) -> Followed:
    """Take every frame; a recording is finished also when the camera is lost, and after Ctrl-C.

    Args:
        frames: closed at the end.
        run: what to do with them.
        fps: at which a recording is to be played.
        paced: record frames for as long as it took until the next one came, as a camera's; False: each one once.
        length: how many there will be, where that is known.
        status: gives what more is to be shown as frames come.

    Raises:
        DeviceLostError, KeyboardInterrupt: before the first frame.
        OakpointError: from the frames, or from the recording; nothing is left of it then.
    """
    summary = RunSummary()
    total = min(filter(None, (length, run.max_frames)), default=None)
    ended: BaseException | None = None
    try:
        with contextlib.closing(frames):
            shown = _shown(itertools.islice(frames, run.max_frames), total, status)
            ended = _record(shown, summary, run, fps, paced=paced, single=total == 1)
    except KeyboardInterrupt as interrupt:
        ended = interrupt
    if ended is not None and summary.frames == 0:
        raise ended
    return Followed(summary.facts() | {"saved": str(run.save) if run.save else None}, ended)


def _record(
    frames: Iterator[TrackedFrame], summary: RunSummary, run: Run, fps: float, *, paced: bool, single: bool
) -> DeviceLostError | None:
    """Draw and sum up; give the loss of a camera back, so that what was recorded until then is finished."""
    with contextlib.ExitStack() as stack:
        recording = stack.enter_context(open_recording(run.save, fps=fps, single=single)) if run.save else None
        pace = PacedWriter(recording.write, fps=fps) if recording is not None and paced else None
        try:
            for frame in frames:
                picture = partial(picture_of, frame, notice=run.notice)
                if pace is not None and frame.time_s is not None:
                    pace.add(picture, frame.time_s)
                elif recording is not None:
                    recording.write(picture())
                summary.add(frame)
        except DeviceLostError as error:
            if summary.frames == 0:
                raise
            return error
    return None


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
                print_warning(f"{number}{f' of {length}' if length else ''} frames, {text}")
            yield frame


def _figures(frame: TrackedFrame) -> str:
    delay = "" if frame.latency_s is None else f"{1e3 * frame.latency_s:4.0f} ms latency, "
    rate = "" if frame.rate_fps is None else f"{frame.rate_fps:5.1f} fps, "
    return f"{rate}{delay}{len(frame.features):4d} keypoints"
