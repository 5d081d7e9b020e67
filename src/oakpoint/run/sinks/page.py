"""The run as a page in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, final

from oakpoint.run.controls import ControlBoard
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.page.application import PageApplication
from oakpoint.run.page.defaults import RECORDINGS
from oakpoint.run.page.recorder import PageRecorder
from oakpoint.run.page.server import Listening, PageServer, require_page
from oakpoint.run.page.state import PageState, PageTitle
from oakpoint.run.page.viewers import FrameSlot
from oakpoint.run.sinks.base import Sink

if TYPE_CHECKING:
    from typing_extensions import Self


@final
class PageSink(Sink):
    """Shows every viewer the newest frame that it has time for; opened by ``to``.

    Drawing, encoding and sending are done in threads of its own: the run only leaves the frame there. A recording that
    was begun on the page is drawn and encoded in the run's thread, as one of ``--save`` is: it holds every frame.

    Attributes:
        url: the page's address, with its token where it has one.
    """

    lingers = True

    def __init__(
        self,
        slot: FrameSlot,
        state: PageState,
        application: PageApplication,
        recorder: PageRecorder,
        server: PageServer,
        url: str,
    ) -> None:
        self.url = url
        self._slot = slot
        self._state = state
        self._application = application
        self._recorder = recorder
        self._server = server

    @classmethod
    def to(
        cls,
        listening: Listening,
        board: ControlBoard,
        title: PageTitle,
        *,
        fps: float,
        live: bool = False,
        recordings: Path = RECORDINGS,
    ) -> Self:
        """Open the page; when this returns, it answers.

        Args:
            listening: where; closed by ``finish`` and ``abort``.
            board: the run's controls.
            title: what it is about.
            fps: at which recordings are to be played; see ``RecordingSink.to``.
            live: see ``RecordingSink.to``.
            recordings: folder for them, made with the first one.

        Raises:
            MissingExtraError: starlette, uvicorn or websockets is not installed.
            OakpointError: the server does not start.
        """
        require_page()
        recorder = PageRecorder(recordings, _file_stem(title.network), fps=fps, live=live, notice=title.notice)
        slot, state = FrameSlot(), PageState(title, board, recorder, live=live)
        application = PageApplication(slot, state, board, recorder)
        server = PageServer(lambda started: application.asgi(listening.access, started), listening)
        server.start()
        return cls(slot, state, application, recorder, server, listening.url)

    def add(self, frame: TrackedFrame) -> None:
        """See ``Sink.add``."""
        self._slot.put(frame)
        self._recorder.add(frame)

    def redraw(self, frame: TrackedFrame) -> None:
        """See ``Sink.redraw``."""
        self._slot.put(frame)

    def linger(self) -> None:
        """See ``Sink.linger``."""
        self._recorder.close("the source has ended, there is nothing more to record")
        self._state.ended = "source"
        self._application.viewers.changed()

    def finish(self) -> None:
        """See ``Sink.finish``; what is recorded is put in place."""
        self._recorder.close("the run has ended")
        self._state.ended = "run"
        self._server.stop(self._application.close)

    def abort(self) -> None:
        """See ``Sink.abort``."""
        self.finish()


def _file_stem(network: str) -> str:
    """A network's name as the beginning of files' names."""
    kept = "".join(character if character.isalnum() or character in "-_" else "-" for character in network)
    return kept.strip("-")[:40] or "oakpoint"
