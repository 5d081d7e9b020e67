"""Who may open the page: which names it answers to, which pages may talk to it, and the token of its address."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from typing_extensions import Self

TOKEN_BYTES = 24
"""Of randomness in a token: 192 bits are not guessed."""

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Of every answer: the page takes scripts, styles and pictures from itself alone, nobody frames it, nothing is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a request has to say to be let in.

    Attributes:
        names: hosts that the page answers to, without ports, lower-case. A site that makes its own name lead to this
            machine (DNS rebinding) says its own.
        any_address: it answers to every numeric address as well, as it listens on all of them. No site can make its
            pages come from an address that is not its own.
        token: first part of every path; None where only this machine can ask.
    """

    names: frozenset[str]
    any_address: bool = False
    token: str | None = None

    @classmethod
    def to(cls, address: str, host: str) -> Self:
        """What is asked of those who come to an address.

        Args:
            address: numeric, that the page listens on.
            host: as the user gave it.
        """
        where = ipaddress.ip_address(address)
        names = {host.lower().strip("[]"), str(where), *_LOOPBACK_NAMES}
        if where.is_loopback:
            return cls(names=frozenset(names))
        own = socket.gethostname().lower()
        names |= {own, own.partition(".")[0], f"{own.partition('.')[0]}.local"}
        return cls(names=frozenset(names), any_address=where.is_unspecified, token=secrets.token_urlsafe(TOKEN_BYTES))

    @property
    def prefix(self) -> str:
        """What all paths begin with, as ``/`` or ``/token/``."""
        return "/" if self.token is None else f"/{self.token}/"

    def takes_host(self, hosts: Iterable[str]) -> bool:
        """Whether a request's ``Host`` headers, of which there is to be one, name this page.

        The port does not matter: it is another one behind a tunnel.
        """
        given = list(hosts)
        found = _HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
        if found is None:
            return False
        name = found["v6"] or found["name"]
        return name in self.names or (self.any_address and _is_address(name))

    def takes_origin(self, origins: Iterable[str], host: str, *, needed: bool) -> bool:
        """Whether a request comes from the page itself.

        Args:
            origins: the request's ``Origin`` headers.
            host: its ``Host``.
            needed: browsers say it with requests of this kind, so that one without it is refused.
        """
        given = [origin.lower() for origin in origins]
        return given == [f"http://{host.lower()}"] or (not given and not needed)

    def inner_path(self, path: str) -> str | None:
        """A request's path without the token, empty where it ends with that; None where it has another one or none."""
        if self.token is None:
            return path
        first, slash, rest = path.removeprefix("/").partition("/")
        is_right = secrets.compare_digest(first.encode("utf-8", "surrogatepass"), self.token.encode())
        return f"{slash}{rest}" if is_right else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware that lets in what ``Access`` does, and gives every answer ``SECURITY_HEADERS``."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            inner = self._access.inner_path(scope["path"])
            if inner is None:
                refusal = "The token in the address is missing or wrong: open the address that oakpoint printed."
            else:
                scope = dict(scope, path=inner, raw_path=inner.encode("utf-8", "surrogatepass"))
        if refusal is not None:
            await _refuse(scope, send, refusal)
            return
        if scope["path"] == "" and scope["type"] == "http":  # the page's parts are named relative to it
            await _answer(scope, send, 307, [(b"location", self._access.prefix.encode())])
            return
        await self._app(scope, receive, send if scope["type"] == "websocket" else _secured(send))

    def _refusal(self, scope: Scope) -> str | None:
        headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        if not self._access.takes_host(hosts):
            return "This page does not answer to that host name: open the address that oakpoint printed."
        if not self._access.takes_origin(origins, hosts[0], needed=scope["type"] == "websocket"):
            return "Another page may not talk to this one."
        return None


def _secured(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
            names = {name for name, _ in own}
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in names]
            message = dict(message, headers=kept + own)
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})  # before it was accepted: HTTP's 403
        return
    await _answer(scope, send, 403, [(b"content-type", b"text/plain; charset=utf-8")], reason.encode())


async def _answer(scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    secured, length = _secured(send), (b"content-length", str(len(body)).encode())
    await secured({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await secured({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
