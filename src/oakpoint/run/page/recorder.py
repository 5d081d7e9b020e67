"""Recordings that are begun and ended on the page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from oakpoint.errors import OakpointError, OutputError, UsageError, first_line
from oakpoint.files import writing
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.sinks.recording import RecordingSink

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderState:
    """What is known of recordings.

    Attributes:
        recording: the name of the file that is being recorded; None: nothing is.
        finished: names of those that are in place, in their order.
        failure: why the last one ended by itself; None: it did not.
        begun_s: when the present one was asked for, by ``time.monotonic``.
    """

    recording: str | None = None
    finished: tuple[str, ...] = ()
    failure: str | None = None
    begun_s: float | None = None


@final
class PageRecorder:
    """Records what the page shows to MP4 files in one folder; none is ever replaced. May be asked from any thread.

    Args:
        folder: made with the first recording.
        stem: how the files' names begin.
        fps: see ``RecordingSink.to``.
        live: see ``RecordingSink.to``.
        notice: see ``RecordingSink.to``.
        changed: called when the state has changed.

    Attributes:
        folder: see above.
        stem: see above, of letters that every file system takes.
        state: what is known.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        *,
        fps: float,
        live: bool = False,
        notice: str | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.state = RecorderState()
        self.changed = changed
        self.stem = stem
        self._fps, self._live, self._notice = fps, live, notice
        self._lock = threading.RLock()
        self._sink: RecordingSink | None = None
        self._empty = True
        self._closed: str | None = None

    def start(self) -> None:
        """Record from the next frame on; nothing changes where that is done already.

        Raises:
            UsageError: no frame will come any more.
            OutputError: the folder cannot be written.
        """
        with self._lock:
            if self._closed is not None:
                raise UsageError(f"record: {self._closed}")
            if self._sink is None:
                path = self._new_file()
                try:
                    self._sink = RecordingSink.to(path, fps=self._fps, live=self._live, notice=self._notice)
                except OakpointError:
                    path.unlink(missing_ok=True)
                    raise
                self._empty = True
                self._put(replace(self.state, recording=path.name, failure=None, begun_s=time.monotonic()))

    def add(self, frame: TrackedFrame) -> None:
        """Take a frame, if one is recorded; what goes wrong ends the recording alone."""
        with self._lock:
            if self._sink is None:
                return
            try:
                self._sink.add(frame)
                self._empty = False
            except Exception as error:  # noqa: BLE001  # a full disk is no reason to end the run
                _log.info("a recording ended", exc_info=error)
                self._end(failure=first_line(error))

    def stop(self) -> None:
        """Put in place what was recorded; nothing changes where nothing is."""
        with self._lock:
            if self._sink is not None:
                self._end(failure=None)

    def close(self, reason: str) -> None:
        """End what is recorded, and begin nothing more.

        Args:
            reason: for whoever asks for more.
        """
        with self._lock:
            self._closed = reason
            self.stop()

    def path_of(self, name: str) -> Path | None:
        """Where a finished recording stands; None of any other name."""
        return self.folder / name if name in self.state.finished else None

    def _end(self, *, failure: str | None) -> None:
        sink, self._sink = self._sink, None
        assert sink is not None, "asked only while something is recorded"
        try:
            if self._empty:
                sink.abort()
                failure = failure or "no frame came while it was recording, nothing is kept"
            else:
                sink.finish()
        except Exception as error:  # noqa: BLE001  # likewise
            _log.info("a recording could not be finished", exc_info=error)
            failure = failure or first_line(error)
        finished = self.state.finished
        if sink.in_place:
            finished = (*finished, sink.path.name)
        else:
            _remove_empty(sink.path)
        self._put(RecorderState(finished=finished, failure=failure))

    def _put(self, state: RecorderState) -> None:
        self.state = state
        self.changed()

    def _new_file(self) -> Path:
        """An empty file of a name that nobody had, held for the recording."""
        base = f"{self.stem}-{time.strftime('%Y-%m-%d-%H%M%S')}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot make this folder ({error.strerror})") from error
        for number in range(1, 1000):
            path = self.folder / f"{base}{f'-{number}' if number > 1 else ''}.mp4"
            try:
                with writing(path), path.open("xb"):
                    return path
            except OutputError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
        raise OutputError(f"{self.folder}: no name is left that begins with {base}")


def _remove_empty(path: Path) -> None:
    """Remove what held the name of a recording that came to nothing."""
    try:
        if path.stat().st_size == 0:
            path.unlink()
    except OSError:
        _log.info("%s: left behind", path, exc_info=True)
