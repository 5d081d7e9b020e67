"""Several sinks as one: an error in one takes no frame from another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import final

from oakpoint.files import interrupts_held
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.sinks.base import Sink


@final
class SinksTogether:
    """Hands every frame to each sink; closes each of them once, whatever happens to the others."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)

    @property
    def linger(self) -> bool:
        """Whether one of them goes on showing the last frame."""
        return any(sink.lingers for sink in self._sinks)

    def prepare(self, frame: TrackedFrame) -> TrackedFrame:
        """The frame, prepared for every sink; see ``Sink.prepare``. What cannot be done is left to ``add``."""
        for sink in self._sinks:
            with contextlib.suppress(Exception):
                sink.prepare(frame)
        return frame

    def add(self, frame: TrackedFrame) -> None:
        """Hand a frame to every sink, also after one of them has failed.

        Raises:
            Exception: what the first of them raised, after all have had the frame.
        """
        self._each(lambda sink: sink.add(frame))

    def redraw(self, frame: TrackedFrame) -> None:
        """See ``Sink.redraw`` and ``add``."""
        self._each(lambda sink: sink.redraw(frame))

    def finish(self, *, lingering: bool = False) -> None:
        """Finish every sink, one that has failed before among them: what it holds may be worth keeping.

        Args:
            lingering: leave those that show their last frame for as long as somebody looks (``Sink.lingers``), and
                tell them so.

        Raises:
            Exception: what the first of them raised, after all have been asked.
        """
        closing = [sink for sink in self._sinks if not (lingering and sink.lingers)]
        failed: Exception | None = None
        with interrupts_held():  # a second Ctrl-C would destroy what the first one asked for
            for sink in closing:
                self._sinks.remove(sink)
                try:
                    sink.finish()
                except Exception as error:  # noqa: BLE001  # it is raised when the others are finished
                    failed = failed or error
            for sink in self._sinks:
                sink.linger()
            if failed is not None:  # before Ctrl-C, which would hide it
                raise failed

    def abort(self) -> None:
        """Let every sink go; see ``Sink.abort``."""
        with interrupts_held():
            while self._sinks:
                _abort(self._sinks.pop())

    def _each(self, hand: Callable[[Sink], None]) -> None:
        failed: Exception | None = None
        for sink in list(self._sinks):
            try:
                hand(sink)
            except Exception as error:  # noqa: BLE001, PERF203  # it is raised when the others have the frame
                failed = failed or error
        if failed is not None:
            raise failed


def _abort(sink: Sink) -> None:
    with contextlib.suppress(Exception):  # the others are to be let go, too
        sink.abort()
