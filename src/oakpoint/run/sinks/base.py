"""What is asked of whatever takes a run's frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from oakpoint.run.frames import TrackedFrame


class Sink(ABC):
    """Takes frames with what was found in them, one after the other, all from the same thread.

    After the last frame either ``finish`` or ``abort`` is called, once.

    Attributes:
        lingers: at the end of a file or folder it goes on showing the last frame until somebody ends the run.
    """

    lingers: ClassVar[bool] = False

    def prepare(self, frame: TrackedFrame) -> None:  # noqa: B027  # most take a frame as it is
        """Do what can be done for a frame before its turn, with others being prepared meanwhile: draw it.

        Called in any thread; the frame may never be added. What it raises comes to nothing: ``add`` raises it again.
        """

    @abstractmethod
    def add(self, frame: TrackedFrame) -> None:
        """Take the next frame: its image, result, tracks, times, and the controls that it was read with.

        A signal to end the run waits until it returns; what takes long is done in a thread of the sink's own.

        Raises:
            OakpointError: it cannot be taken. The run ends; the other sinks get the frame, and all are finished.
        """

    def redraw(self, frame: TrackedFrame) -> None:  # noqa: B027  # files hold each frame once
        """Show the last frame anew: the run is paused, and its controls have changed."""

    def linger(self) -> None:  # noqa: B027  # likewise
        """No further frame comes; a sink that ``lingers`` shows the last one until ``finish``."""

    @abstractmethod
    def finish(self) -> None:
        """Put in place what was taken: the run is over, whatever ended it. No signal interrupts it.

        Raises:
            OakpointError: it cannot be finished.
        """

    @abstractmethod
    def abort(self) -> None:
        """Let go, and leave nothing behind: the run ended before its first frame."""
