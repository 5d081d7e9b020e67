"""Frames to viewers: each gets the newest one when it has shown the one before, so that none is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, final

from oakpoint.errors import first_line
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.page.pictures import encoded_frame
from oakpoint.run.page.protocol import error_message
from oakpoint.threads import cores

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

MAX_FPS = 30.0
"""Pictures per second that are drawn for viewers, however fast the run is."""

BUSY_SHARE = 0.03
"""Of all cores, at most, that drawing and encoding take while the run wants the processor for itself.

With sending, a run of acorn at 640×480 on two cores then keeps 0.965 of its frame rate (``benchmarks/live_page.py
--viewer client``, median of ten rounds, 4 pictures a second); with 10 % of one core and 7 pictures it kept 0.93."""

LEAST_FPS = 1.0
"""Pictures per second that are drawn all the same: with fewer, nobody sees that it goes on."""

HURRY_S = 0.5
"""After a control was turned, pictures come as fast as they can: what it does is to be seen at once."""

MAX_VIEWERS = 16
"""At once; each costs the sending, and all together one drawing."""

_log = logging.getLogger(__name__)


def interval_s(cost_s: float, *, limited: bool) -> float:
    """Seconds from the beginning of one picture to that of the next one.

    Args:
        cost_s: processor time that drawing the last one took.
        limited: the run wants the processor for itself.
    """
    longest_s = min(cost_s / (BUSY_SHARE * cores()), 1 / LEAST_FPS)
    return max(1 / MAX_FPS, longest_s if limited else 0.0)


@final
class FrameSlot:
    """Holds the newest frame; filled by the run, which never waits for anyone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._frame: TrackedFrame | None = None
        self._wake: Callable[[], None] | None = None

    def put(self, frame: TrackedFrame) -> None:
        """Take the next frame, and tell whoever asked for it."""
        with self._lock:
            self._number += 1
            self._frame = frame
            wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def take(self, wake: Callable[[], None] | None = None) -> tuple[int, TrackedFrame | None]:
        """The newest frame and its number, counted from 1; 0 and None before the first.

        Args:
            wake: called once, by the run, when the next one is there; None: nobody need be told.
        """
        with self._lock:
            self._wake = wake
            return self._number, self._frame

    @property
    def newest(self) -> TrackedFrame | None:
        """The newest frame, None before the first."""
        return self._frame


@final
class Viewer:
    """One open page.

    Attributes:
        ready: it has shown what it got, and waits for the next frame.
        seen: number of the last frame that it got.
    """

    def __init__(self, socket: WebSocket) -> None:
        self.ready = False
        self.seen = 0
        self._socket = socket
        self._due = asyncio.Event()
        self._state: str | None = None
        self._errors: deque[str] = deque(maxlen=8)
        self._picture: bytes | None = None

    def tell(self, state: str) -> None:
        """Send a state; of several that come before they can be sent, the last."""
        self._state = state
        self._due.set()

    def complain(self, text: str) -> None:
        """Send an error for people."""
        self._errors.append(error_message(text))
        self._due.set()

    def show(self, number: int, picture: bytes) -> None:
        """Send a frame; the next one only when it is ``ready`` again."""
        self.ready, self.seen, self._picture = False, number, picture
        self._due.set()

    async def deliver(self) -> None:
        """Send what is to be sent, for as long as the connection stands."""
        while True:
            await self._due.wait()
            self._due.clear()
            state, self._state = self._state, None
            if state is not None:
                await self._socket.send_text(state)
            while self._errors:
                await self._socket.send_text(self._errors.popleft())
            picture, self._picture = self._picture, None
            if picture is not None:
                await self._socket.send_bytes(picture)


@final
class Viewers:
    """All open pages. Everything but ``changed`` is for the event loop's thread.

    Args:
        slot: where the frames come from.
        state: gives the state as a message.
        seen: learns from each frame that is shown; True where the state has changed by it.
        busy: whether the run wants the processor for itself, by its last frame.
        worker: draws and encodes, one frame at a time.
    """

    def __init__(
        self,
        slot: FrameSlot,
        state: Callable[[], str],
        seen: Callable[[TrackedFrame], bool],
        busy: Callable[[TrackedFrame], bool],
        worker: Executor,
    ) -> None:
        self._slot = slot
        self._state = state
        self._seen = seen
        self._busy = busy
        self._worker = worker
        self._hurry_until_s = 0.0
        self._viewers: set[Viewer] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stirred = asyncio.Event()
        self._shown = (0, b"")

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, viewer: Viewer) -> None:
        """Take a viewer in; it gets the state, and the newest frame when it is ready."""
        self._viewers.add(viewer)
        viewer.tell(self._state())

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer go."""
        self._viewers.discard(viewer)

    def is_ready(self, viewer: Viewer) -> None:
        """A viewer wants the next frame."""
        viewer.ready = True
        self._stirred.set()

    def changed(self) -> None:
        """Send everyone the state; from any thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
                loop.call_soon_threadsafe(self._tell_all)

    def hurry(self) -> None:
        """A control was turned."""
        assert self._loop is not None, "viewers come while it serves"
        self._hurry_until_s = self._loop.time() + HURRY_S
        self._stirred.set()

    def _tell_all(self) -> None:
        state = self._state()
        for viewer in self._viewers:
            viewer.tell(state)

    async def serve(self) -> None:
        """Hand frames on, until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        drawn_s = cost_s = 0.0
        while True:
            number, frame = self._slot.take(self._wake if self._viewers else None)
            waiting = any(viewer.ready and viewer.seen < number for viewer in self._viewers)
            if frame is None or not waiting:
                await self._stir(None)
            elif number == self._shown[0]:  # drawn already, for others
                self._show_to_all(*self._shown)
            elif (pause_s := drawn_s + interval_s(cost_s, limited=self._limited(frame)) - self._loop.time()) > 0:
                self._slot.take()  # until then, no frame need wake anyone
                await self._stir(pause_s)
            else:
                drawn_s = self._loop.time()
                cost_s = await self._draw(number, frame)

    async def _stir(self, timeout_s: float | None) -> None:
        """Wait until something has happened; with a timeout, until a control was turned or it is over."""
        self._stirred.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stirred.wait(), timeout_s)

    def _limited(self, frame: TrackedFrame) -> bool:
        assert self._loop is not None, "asked for by serve"
        return self._loop.time() >= self._hurry_until_s and self._busy(frame)

    def _wake(self) -> None:
        assert self._loop is not None, "asked for by serve"
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._stirred.set)

    async def _draw(self, number: int, frame: TrackedFrame) -> float:
        """Draw a frame once for all who wait for one; the processor time that it took, in seconds."""
        assert self._loop is not None, "asked for by serve"
        try:
            picture, cost_s = await self._loop.run_in_executor(self._worker, _timed_frame, frame, number)
        except Exception as error:  # noqa: BLE001  # a frame that cannot be drawn is no reason to show no other
            _log.info("a frame could not be shown", exc_info=error)
            for viewer in self._viewers:
                viewer.seen = number
                viewer.complain(f"a frame could not be shown: {first_line(error)}")
            return 0.0
        self._shown = (number, picture)
        if self._seen(frame):
            self._tell_all()
        self._show_to_all(number, picture)
        return cost_s

    def _show_to_all(self, number: int, picture: bytes) -> None:
        for viewer in self._viewers:
            if viewer.ready and viewer.seen < number:
                viewer.show(number, picture)


def _timed_frame(frame: TrackedFrame, number: int) -> tuple[bytes, float]:
    start_s = time.thread_time()
    return encoded_frame(frame, number), time.thread_time() - start_s
