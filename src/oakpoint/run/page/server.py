"""The page's server: uvicorn in a thread of its own, on a socket that is bound before anything else begins."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from oakpoint.errors import OakpointError, UsageError
from oakpoint.run.page.access import Access
from oakpoint.run.page.defaults import DEFAULT_HOST, DEFAULT_PORT
from oakpoint.run.page.protocol import MAX_MESSAGE_BYTES
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_CLOSING_S = 3.0
"""For viewers to be told that the run has ended; a download that takes longer breaks off."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that the page listens on.

    Attributes:
        socket: bound.
        access: who may come in by it.
        url: the page's address, with its token where it has one.
    """

    socket: socket.socket
    access: Access
    url: str

    @property
    def port(self) -> int:
        """That it listens on."""
        return int(self.socket.getsockname()[1])


def require_page() -> None:
    """Make sure that what the page needs is installed.

    Raises:
        MissingExtraError: it is not.
    """
    with importing("starlette", "uvicorn", "websockets", extra="view", purpose=" (for --view web)"):
        import starlette
        import uvicorn
        import websockets

        del starlette, uvicorn, websockets


def listen(host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> Listening:
    """Bind the page's address.

    Args:
        host: a name or numeric address of this machine; any other than its loopback gets a token.
        port: 0 takes a free one.

    Raises:
        UsageError: no address of this machine, or the port is in use.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: expected 0 to 65535, got {port}")
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host: expected a name or address of this machine, got {host!r} ({error})") from error
    family, kind, protocol, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
        bound.listen(64)
    except OSError as error:
        bound.close()
        raise UsageError(_bind_problem(error, host, port)) from error
    numeric = str(address[0]).partition("%")[0]
    access = Access.to(numeric, host)
    return Listening(bound, access, f"http://{_url_host(host, numeric)}:{bound.getsockname()[1]}{access.prefix}")


def _bind_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--port: {port} is in use; choose another one, or 0 for any that is free"
    if error.errno == errno.EACCES:
        return f"--port: {port} may not be used by this user; choose one from 1024 up, or 0 for any that is free"
    return f"--host: {host} is no address of this machine ({error.strerror})"


def _url_host(host: str, numeric: str) -> str:
    """What stands in the address for people: an address of this machine where the page listens on all of them."""
    where = ipaddress.ip_address(numeric)
    if where.is_unspecified:
        return _outward_address() or socket.gethostname()
    name = host.strip("[]")
    return f"[{name}]" if ":" in name else name


def _outward_address() -> str | None:
    """The address by which other machines reach this one; None without a network. Nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # of TEST-NET-1, RFC 5737: only the route to it is looked up
        return str(probe.getsockname()[0])
    return None


@final
class PageServer:
    """Runs an ASGI application until it is stopped.

    Signals are left to the main thread: Ctrl-C belongs to the run.
    """

    def __init__(self, app: Callable[[Callable[[], None]], ASGIApp], listening: Listening) -> None:
        """Take what is to be run.

        Args:
            app: makes the application, which calls what it is given when it answers.
            listening: where.
        """
        import uvicorn

        self._answers = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening = listening
        config = uvicorn.Config(
            app(self._started),
            loop="asyncio",
            http="h11",
            ws="websockets-sansio",
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # pictures are compressed already
            lifespan="on",
            log_config=None,
            log_level="critical",  # what strangers send is no news
            access_log=False,  # addresses hold the token
            server_header=False,
            limit_concurrency=128,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="oakpoint-page-server", daemon=True)

    def start(self) -> None:
        """Return when it answers.

        Raises:
            OakpointError: it does not.
        """
        self._thread.start()
        while not self._answers.wait(0.1):
            if not self._thread.is_alive():
                raise OakpointError("the page's server did not start; oakpoint -v run … shows why")

    def stop(self, farewell: Callable[[], Awaitable[None]] | None = None) -> None:
        """End it, and return when its thread has.

        Args:
            farewell: what is to be done in its loop before.
        """
        if self._loop is not None and self._thread.is_alive():
            if farewell is not None:
                with contextlib.suppress(Exception):  # a viewer that does not listen is not waited for
                    asyncio.run_coroutine_threadsafe(_within(farewell(), _CLOSING_S), self._loop).result(2 * _CLOSING_S)
            self._server.should_exit = True
            self._thread.join(2 * _CLOSING_S)
        self._listening.socket.close()

    def _started(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answers.set()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listening.socket])
        except BaseException as error:  # noqa: BLE001  # of a thread, nobody else would hear of it
            _log.warning("the page's server ended", exc_info=error)


async def _within(work: Awaitable[None], seconds: float) -> None:
    await asyncio.wait_for(work, seconds)
