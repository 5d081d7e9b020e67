"""What measuring a camera and measuring this machine have in common on the command line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import TaskID

from oakpoint.cli.console import out, progress_bar, step_line
from oakpoint.errors import UsageError
from oakpoint.images.reading import no_image_in
from oakpoint.verify.photographs import load_photographs


def photographs_of(folder: Path | None) -> dict[str, NDArray[np.uint8]]:
    """The images to measure on, at least one.

    Raises:
        UsageError: a folder without images.
        ImageError, MissingExtraError: see ``load_photographs``.
    """
    photographs = load_photographs(folder)
    if not photographs:
        raise UsageError(f"{no_image_in(folder or Path())}, or leave out --images")
    return photographs


class PhasePrinter:
    """A bar for the running phase on a terminal, a line at its beginning elsewhere, and one for each finished one."""

    def __init__(self, doing: Mapping[str, str], *, quiet: bool) -> None:
        """Print nothing yet.

        Args:
            doing: by phase the line at its beginning; ``{}`` in it is how far the phase will go.
            quiet: print no lines.
        """
        self._doing, self._quiet = doing, quiet
        self._progress = progress_bar()
        self._task = TaskID(0)
        self._started_s = 0.0

    def started(self, phase: str, total: float | None) -> None:
        """A phase begins."""
        self._started_s = time.monotonic()
        self._task = self._progress.add_task(phase, total=total)
        self._progress.start()
        if self._progress.disable and not self._quiet:
            out.print(f"{self._doing[phase].format(total)} …")

    def advanced(self, done: float) -> None:
        """It has come so far."""
        self._progress.update(self._task, completed=done)

    def ended(self, phase: str, words: str) -> None:
        """It is over, and what came of it."""
        self._progress.stop()
        self._progress.remove_task(self._task)
        if not self._quiet:
            out.print(step_line(phase, time.monotonic() - self._started_s, words))
