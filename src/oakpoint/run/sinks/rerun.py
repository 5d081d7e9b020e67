"""A run in Rerun: to its viewer, or to an ``.rrd`` file that it opens."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from oakpoint.errors import OakpointError, OutputError, UsageError, first_line, naming
from oakpoint.files import is_utf8, replacing_file, require_room, shown_name
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.rerun_entities import entities_of
from oakpoint.run.rerun_viewer import import_rerun, viewer_url
from oakpoint.run.sinks.base import Sink
from oakpoint.run.sinks.data import RunFacts

if TYPE_CHECKING:
    from typing_extensions import Self

SUFFIX = ".rrd"

FILE_TICK_S = 5.0
"""Frames of as many seconds go into one chunk of a file. Its index, which has a line for each chunk and entity, is kept
in memory until the end: at the 0.2 s of a viewer it took 11 kB a frame, a gigabyte an hour."""

FLUSH_S = 10.0
"""How long a viewer may take at the end to receive what is still on its way."""


@final
class RerunSink(Sink):
    """Logs every frame; opened by ``to`` or ``to_viewer``.

    Attributes:
        path: the file; None of a viewer.
        in_place: whether the file stands there.
    """

    def __init__(
        self, rr: Any, stream: Any, *, path: Path | None, temporary: Path | None, closing: contextlib.ExitStack
    ) -> None:
        self.path = path
        self.in_place = False
        self._rr = rr
        self._stream = stream
        self._temporary = temporary
        self._closing = closing
        self._first_s: float | None = None
        self._heat_map = False

    @classmethod
    def to(cls, path: Path, facts: RunFacts) -> Self:
        """Begin a file, which appears, whole, when the run ends, whatever ends it.

        Args:
            path: ends in ``.rrd``.
            facts: what is said of the run.

        Raises:
            MissingExtraError: Rerun is not installed.
            OutputError: it cannot be written there.
        """
        rr = import_rerun()
        if path.is_dir():
            raise OutputError(f"{path}: there is a folder of that name")
        if not is_utf8(path):
            raise OutputError(f"{path}: Rerun writes to a name in UTF-8 only; choose another one")
        stream = _stream(rr, tick_s=FILE_TICK_S)
        closing = contextlib.ExitStack()
        temporary = closing.enter_context(replacing_file(path))
        stream.save(temporary, default_blueprint=_blueprint(rr))
        _describe(rr, stream, facts)
        return cls(rr, stream, path=path, temporary=temporary, closing=closing)

    @classmethod
    def to_viewer(cls, facts: RunFacts, *, address: str | None = None) -> Self:
        """Show frames in a viewer; see ``viewer_url``.

        Raises:
            MissingExtraError: Rerun is not installed.
            UsageError, OutputError: see ``viewer_url``.
        """
        rr = import_rerun()
        url = viewer_url(address)
        stream = _stream(rr)
        stream.connect_grpc(url, default_blueprint=_blueprint(rr))
        _describe(rr, stream, facts)
        return cls(rr, stream, path=None, temporary=None, closing=contextlib.ExitStack())

    def add(self, frame: TrackedFrame) -> None:
        """See ``Sink.add``.

        Raises:
            OutputError: the disk is all but full, of which Rerun says nothing.
        """
        if self.path is not None and self._temporary is not None:
            with naming(self._temporary, str(self.path)):
                require_room(self._temporary, frame.image.nbytes)
        self._set_times(frame)
        for entity, content in entities_of(self._rr, frame):
            self._stream.log(entity, *content, strict=True)
        if self._heat_map and frame.heat_map is None:
            self._stream.log("frame/heat_map", self._rr.Clear(recursive=False))
        self._heat_map = frame.heat_map is not None

    def redraw(self, frame: TrackedFrame) -> None:
        """See ``Sink.redraw``: a viewer shows what was logged last for the frame."""
        if self.path is None:
            self.add(frame)

    def _set_times(self, frame: TrackedFrame) -> None:
        """Where frames stand on Rerun's timelines: ``frame``, and ``time`` where it is known; a camera's from 0 on."""
        self._stream.set_time("frame", sequence=frame.index)
        if frame.time_s is None:
            return
        if self._first_s is None:
            self._first_s = frame.time_s if frame.latency_s is not None else 0.0
        self._stream.set_time("time", duration=frame.time_s - self._first_s)

    def finish(self) -> None:
        """See ``Sink.finish``.

        Raises:
            OutputError: the file cannot be written, or the viewer is gone.
        """
        try:
            self._stream.flush(timeout_sec=FLUSH_S)
        except (RuntimeError, ValueError) as error:
            where = self.path or "Rerun's viewer"
            failed = OutputError(f"{where}: the last frames did not arrive ({first_line(error)})")
            self._let_go(failed)
            raise failed from error
        self._stream.disconnect()
        self._closing.close()
        self.in_place = self.path is not None

    def abort(self) -> None:
        """See ``Sink.abort``."""
        self._let_go(OutputError("the run ended before its first frame"))

    def _let_go(self, error: OakpointError) -> None:
        self._stream.disconnect()
        with contextlib.suppress(OakpointError):
            self._closing.__exit__(type(error), error, None)


def _stream(rr: Any, *, tick_s: float | None = None) -> Any:
    """A recording of its own, with the timelines that are oakpoint's alone.

    Args:
        rr: the module ``rerun``.
        tick_s: how often what was logged is sent on. None: as Rerun has it, for a viewer.

    Raises:
        UsageError: the environment switches Rerun off.
    """
    batches = None if tick_s is None else rr.ChunkBatcherConfig(flush_tick=tick_s)
    stream = rr.RecordingStream("oakpoint", recording_id=uuid.uuid4(), send_properties=False, batcher_config=batches)
    if not stream.is_enabled():
        raise UsageError("the environment's variable RERUN switches Rerun off; unset it")
    stream.set_log_time_enabled(False)
    stream.set_log_tick_enabled(False)
    return stream


def _describe(rr: Any, stream: Any, facts: RunFacts) -> None:
    model, source = shown_name(facts.model), shown_name(facts.source)
    stream.send_recording_name(f"{model} on {source}")
    noted = {} if facts.notice is None else {"notice": facts.notice}
    stream.send_property("run", rr.AnyValues(model=model, source=source, **noted))
    if facts.notice is not None:
        stream.log("notice", rr.TextDocument(facts.notice), static=True)


def _blueprint(rr: Any) -> Any:
    """The frame on the left; what was found and how fast on the right."""
    rrb = rr.blueprint
    series = rrb.Vertical(
        rrb.TimeSeriesView(origin="found", name="found"),
        rrb.TimeSeriesView(origin="time", contents=["/time/rate_fps", "/time/latency_ms"], name="rate and latency"),
        rrb.TimeSeriesView(origin="time/stages_ms", name="milliseconds of each stage"),
    )
    frame = rrb.Spatial2DView(origin="frame", name="frame")
    return rrb.Blueprint(rrb.Horizontal(frame, series, column_shares=[2, 1]), auto_views=True, collapse_panels=True)
