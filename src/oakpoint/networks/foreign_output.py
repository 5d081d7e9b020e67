"""What a user's own code, and torch, write to the standard streams while oakpoint runs them: it goes to the log.

A network may print what it likes; oakpoint's own standard output belongs to its results (``--json``). What was written
is logged at INFO, so that ``oakpoint -v`` shows it on standard error.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any, Literal, TextIO, cast

logger = logging.getLogger(__name__)

Stream = Literal["stdout", "stderr"]

_OF_ONES_OWN = {"flush", "isatty", "rich_proxied_file", "writable", "write", "writelines"}
"""What a thread with a place of its own finds there; encoding, file number and the like stay those of the stream.

``rich_proxied_file`` is where rich writes past its own stand-in for the stream: a spinner that runs in another thread
finds the terminal by it.
"""

_installing = threading.Lock()


class _ByThread:
    """A standard stream in which threads may have a place of their own; all others write to what was there before.

    Attributes:
        behind: the stream that was there before.
        blocks: how many blocks hold it at present.
    """

    def __init__(self, behind: TextIO) -> None:
        self.behind = behind
        self.blocks = 0
        self._own: dict[int, io.StringIO] = {}

    def exchange(self, own: io.StringIO | None) -> io.StringIO | None:
        """Give the calling thread another place, None for the stream itself; returns the one it had."""
        before = self._own.pop(threading.get_ident(), None)
        if own is not None:
            self._own[threading.get_ident()] = own
        return before

    def __getattr__(self, name: str) -> Any:
        own = self._own.get(threading.get_ident()) if name in _OF_ONES_OWN else None
        return getattr(self.behind if own is None else own, name)


@contextlib.contextmanager
def logging_output_of(whose: str, *, errors: bool = False) -> Iterator[None]:
    """A block whose writes to standard output go to the log, those of this thread alone.

    Blocks may lie within each other, and run in several threads at once; each leaves the streams as they were.

    Args:
        whose: name of the network, for the log.
        errors: also what is written to standard error, and by torch's own loggers, whose handlers stay with the stream
            that was there when torch was imported.
    """
    text = io.StringIO()
    streams: tuple[Stream, ...] = ("stdout", "stderr") if errors else ("stdout",)
    try:
        with contextlib.ExitStack() as stack:
            for stream in streams:
                stack.enter_context(_own_place(stream, text))
            if errors:
                stack.enter_context(_torch_logs_to(text))
            yield
    finally:
        if logger.isEnabledFor(logging.INFO):
            for line in filter(str.strip, text.getvalue().splitlines()):
                logger.info("%s: %s", whose, line)


@contextlib.contextmanager
def _own_place(stream: Stream, text: io.StringIO) -> Iterator[None]:
    with _installing:
        present = getattr(sys, stream)
        shared = present if isinstance(present, _ByThread) else _ByThread(present)
        shared.blocks += 1
        setattr(sys, stream, cast(TextIO, shared))
    before = shared.exchange(text)
    try:
        yield
    finally:
        shared.exchange(before)
        with _installing:
            shared.blocks -= 1
            if shared.blocks == 0 and getattr(sys, stream) is shared:
                setattr(sys, stream, shared.behind)


class _Redirected(logging.Filter):
    """Lets a handler pass over what torch says in one thread, and keeps it."""

    def __init__(self, text: io.StringIO) -> None:
        super().__init__()
        self._thread, self._text = threading.get_ident(), text
        self._last: logging.LogRecord | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread or record.name.split(".")[0] not in _TORCH:
            return True
        if record is not self._last:  # one that several handlers are shown
            self._text.write(f"{record.getMessage()}\n")
        self._last = record
        return False


_TORCH = ("torch", "onnxscript", "onnx_ir")
"""Whose loggers are meant."""


@contextlib.contextmanager
def _torch_logs_to(text: io.StringIO) -> Iterator[None]:
    names = [name for name in list(logging.root.manager.loggerDict) if name.split(".")[0] in _TORCH]
    handlers = {handler for name in names for handler in logging.getLogger(name).handlers} | set(logging.root.handlers)
    redirected = _Redirected(text)
    for handler in handlers:
        handler.addFilter(redirected)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(redirected)
