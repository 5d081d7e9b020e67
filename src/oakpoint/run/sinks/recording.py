"""Recordings of a run."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, final

from oakpoint.errors import OakpointError, OutputError
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.recordings.base import Recording
from oakpoint.run.recordings.opening import open_recording
from oakpoint.run.recordings.pacing import PacedWriter
from oakpoint.run.sinks.base import Sink

if TYPE_CHECKING:
    from typing_extensions import Self


@final
class RecordingSink(Sink):
    """Draws every frame and records it; opened by ``to``.

    Attributes:
        path: where it will stand.
        in_place: whether it does.
    """

    def __init__(
        self,
        path: Path,
        recording: Recording,
        closing: contextlib.ExitStack,
        pace: PacedWriter | None,
        notice: str | None,
    ) -> None:
        self.path = path
        self._recording = recording
        self._closing = closing
        self._pace = pace
        self._notice = notice

    @classmethod
    def to(cls, path: Path, *, fps: float, live: bool = False, single: bool = False, notice: str | None = None) -> Self:
        """Begin a recording.

        Args:
            path: see ``open_recording``.
            fps: at which it is to be played.
            live: frames come from a camera at its own pace: each stands for as long as it took until the next one came.
                False: each for 1/fps.
            single: there will be one frame.
            notice: a short text that stands on every picture.

        Raises:
            UsageError, OutputError: see ``open_recording``.
        """
        closing = contextlib.ExitStack()
        recording = closing.enter_context(open_recording(path, fps=fps, single=single))
        pace = PacedWriter(recording, fps=fps) if live and recording.plays else None
        return cls(path, recording, closing, pace, notice)

    @property
    def in_place(self) -> bool:
        """Whether it is finished and stands where it was asked for."""
        return self._recording.in_place

    @property
    def note(self) -> str | None:
        """What is to be said of it at the start."""
        return self._recording.note

    @property
    def cut_s(self) -> float:
        """Seconds that pauses were shortened by."""
        return 0.0 if self._pace is None else self._pace.cut_s

    def prepare(self, frame: TrackedFrame) -> None:
        """See ``Sink.prepare``."""
        _ = frame.canvas

    def add(self, frame: TrackedFrame) -> None:
        """See ``Sink.add``.

        Raises:
            ImageError, OutputError: see ``Recording.write``.
        """
        if self._pace is not None and frame.time_s is not None:
            self._pace.add(partial(frame.picture, self._notice), frame.time_s)
        else:
            self._recording.write(frame.picture(self._notice), name=frame.name)

    def finish(self) -> None:
        """See ``Sink.finish``.

        Raises:
            OutputError: it cannot be written, or holds no frame.
        """
        self._closing.close()

    def abort(self) -> None:
        """See ``Sink.abort``: a frame that another sink did not take is not left either."""
        self._recording.discard()
        ended = OutputError(f"{self.path}: the run ended before its first frame")
        with contextlib.suppress(OakpointError):
            self._closing.__exit__(type(ended), ended, None)
