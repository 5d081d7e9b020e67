"""Where a run is, as frames come: on a terminal a bar, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import final

from rich.markup import escape

from oakpoint.cli.console import print_progress, progress_bar
from oakpoint.files import shown_name
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.sinks.base import Sink
from oakpoint.view.results.registry import view_of

LINE_EVERY_S = 5.0
"""How often a run says where it is, where no bar is shown."""


@final
class ProgressSink(Sink):
    """Shows each frame's figures.

    Args:
        total: how many frames there will be; None where nobody knows.
        status: gives what more is to be shown.
    """

    def __init__(self, total: int | None, status: Callable[[], str]) -> None:
        self._total = total
        self._status = status
        self._shown = ExitStack()
        self._progress = self._shown.enter_context(progress_bar())
        self._task = self._progress.add_task("frames", total=total)
        self._said_s = time.monotonic()
        self._frames = 0

    def add(self, frame: TrackedFrame) -> None:
        """See ``Sink.add``."""
        self._frames += 1
        found = view_of(frame.result).figures(frame.result, None)[0]
        text = shown_name(", ".join(filter(None, (*frame.timing(), found, self._status()))))
        self._progress.update(self._task, advance=1, description=escape(text))
        if self._progress.disable and time.monotonic() - self._said_s >= LINE_EVERY_S:
            self._said_s = time.monotonic()
            of = f" of {self._total}" if self._total else ""
            print_progress(f"{self._frames}{of} frames, {text}")

    def finish(self) -> None:
        """See ``Sink.finish``."""
        self._shown.close()

    def abort(self) -> None:
        """See ``Sink.abort``."""
        self._shown.close()
