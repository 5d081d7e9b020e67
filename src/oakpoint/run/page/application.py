"""What the page's server answers: the page itself, its parts, one WebSocket, snapshots and finished recordings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any, final

from oakpoint.errors import OakpointError, first_line
from oakpoint.run.controls import ControlBoard
from oakpoint.run.page.access import Access, Guard
from oakpoint.run.page.pictures import snapshot_png
from oakpoint.run.page.protocol import (
    BadMessageError,
    DrawnMessage,
    KnobsMessage,
    PageMessage,
    PauseMessage,
    ReadyMessage,
    RecordMessage,
    StepMessage,
    message_from,
)
from oakpoint.run.page.recorder import PageRecorder
from oakpoint.run.page.state import PageState
from oakpoint.run.page.viewers import MAX_VIEWERS, FrameSlot, Viewer, Viewers

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "connection.js": "text/javascript; charset=utf-8",
    "controls.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The page's parts, beside ``index.html``; nothing else of the disk is served but finished recordings."""

REFUSED, GOING_AWAY, TOO_MANY = 1008, 1001, 1013
"""Close codes of RFC 6455 and IANA's registry: policy violation, going away, try again later."""

_log = logging.getLogger(__name__)


@final
class PageApplication:
    """The routes, and what is behind them.

    Args:
        slot: where frames come from.
        state: of the page.
        board: the controls.
        recorder: the recordings.
    """

    def __init__(self, slot: FrameSlot, state: PageState, board: ControlBoard, recorder: PageRecorder) -> None:
        self._slot = slot
        self._state = state
        self._board = board
        self._recorder = recorder
        self._worker = ThreadPoolExecutor(1, "oakpoint-page")
        self._sockets: set[WebSocket] = set()
        self.viewers = Viewers(slot, state.text, state.seen, state.is_busy, self._worker)
        recorder.changed = self.viewers.changed

    def asgi(self, access: Access, started: Callable[[], None] = lambda: None) -> ASGIApp:
        """The application behind its guard.

        Args:
            access: who may come in.
            started: called when it answers.
        """
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            serving = asyncio.create_task(self.viewers.serve())
            started()
            yield
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            self._worker.shutdown(wait=True, cancel_futures=True)

        parts = [
            ("/", "index.html", "text/html; charset=utf-8"),
            *((f"/{name}", name, kind) for name, kind in ASSETS.items()),
        ]
        return Guard(
            Starlette(
                routes=[
                    *(Route(path, _part(name, kind)) for path, name, kind in parts),
                    WebSocketRoute("/frames", self._talk),
                    Route("/snapshot.png", self._snapshot),
                    Route("/recordings/{name}", self._recording),
                ],
                lifespan=lifespan,
            ),
            access,
        )

    async def close(self) -> None:
        """Tell every viewer the last state, and close the connections."""
        await asyncio.gather(*(self._take_leave(socket) for socket in self._sockets), return_exceptions=True)

    async def _take_leave(self, socket: WebSocket) -> None:
        await socket.send_text(self._state.text())
        await socket.close(GOING_AWAY, "the run has ended")

    async def _talk(self, socket: WebSocket) -> None:
        """One viewer, from its coming to its going."""
        await socket.accept()
        if len(self.viewers) >= MAX_VIEWERS:
            await socket.close(TOO_MANY, f"{MAX_VIEWERS} pages are open, which is all there may be")
            return
        viewer = Viewer(socket)
        self._sockets.add(socket)
        self.viewers.join(viewer)
        delivering = asyncio.create_task(viewer.deliver())
        try:
            await self._listen(socket, viewer)
        finally:
            self.viewers.leave(viewer)
            self._sockets.discard(socket)
            delivering.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):  # the connection broke while it was sending
                await delivering

    async def _listen(self, socket: WebSocket, viewer: Viewer) -> None:
        while True:
            received = await socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            try:
                message = message_from(received.get("text"))
            except BadMessageError as error:
                with contextlib.suppress(Exception):  # it may be gone already
                    await socket.close(REFUSED, f"a message that is none of the page's: {error}"[:120])
                return
            if isinstance(message, ReadyMessage):
                self.viewers.is_ready(viewer)
            else:
                await self._obey(message, viewer)

    async def _obey(self, message: PageMessage, viewer: Viewer) -> None:
        try:
            if isinstance(message, RecordMessage):  # it may have to wait for a frame that is being encoded
                act = self._recorder.start if message.on else self._recorder.stop
                await asyncio.get_running_loop().run_in_executor(self._worker, act)
            else:
                self._turn(message)
                self.viewers.hurry()
        except OakpointError as error:
            viewer.complain(first_line(error))
        except Exception as error:  # noqa: BLE001  # a fault of ours is shown where it was met; the others go on
            _log.warning("the page could not do what was asked", exc_info=error)
            viewer.complain(f"{type(error).__name__}: {first_line(error)}")
        self.viewers.changed()  # also after an error: what the page shows is then put right

    def _turn(self, message: PageMessage) -> None:
        if isinstance(message, KnobsMessage):
            self._board.change(knobs=message.values)
        elif isinstance(message, DrawnMessage):
            self._board.change(drawn=message.values)
        elif isinstance(message, PauseMessage):
            self._board.pause(paused=message.paused)
        elif isinstance(message, StepMessage):
            self._board.step()

    async def _snapshot(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        del request
        frame = self._slot.newest
        if frame is None:
            return PlainTextResponse("No frame has come yet.", status_code=404)
        loop = asyncio.get_running_loop()
        png = await loop.run_in_executor(self._worker, snapshot_png, frame, self._state.title.notice)
        name = f"{self._recorder.stem}-frame-{frame.index:06d}.png"
        return Response(png, media_type="image/png", headers={"Content-Disposition": f'attachment; filename="{name}"'})

    async def _recording(self, request: Request) -> Response:
        from starlette.responses import FileResponse, PlainTextResponse

        path = self._recorder.path_of(request.path_params["name"])
        if path is None or not path.is_file():
            return PlainTextResponse("There is no such recording.", status_code=404)
        return FileResponse(path, media_type="video/mp4", filename=path.name)


def _part(name: str, media_type: str) -> Callable[[Any], Awaitable[Response]]:
    from starlette.responses import Response

    content = resources.files(__package__).joinpath("static", name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, headers={"Content-Type": media_type})

    return answer
