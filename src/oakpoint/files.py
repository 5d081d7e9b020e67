"""Files written whole or not at all, their hashes, and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Literal

import platformdirs

from oakpoint.errors import OutputError


def default_cache() -> Path:
    """The user's cache folder of oakpoint (``OAKPOINT_CACHE`` overrides the platform's own)."""
    override = os.environ.get("OAKPOINT_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("oakpoint")


ENDING_SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__
)
"""What asks a program to end: Ctrl-C; ``docker stop``, systemd and ``timeout``; a terminal that is closed."""

NEW_S = 2.0
"""Temporary folders younger than this are left alone by the sweep."""


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C, and the other ``ENDING_SIGNALS`` that the program listens to, wait until the block has ended.

    Only the main thread hears signals; elsewhere nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: handler for number in ENDING_SIGNALS if callable(handler := signal.getsignal(number))}
    held: list[int] = []
    holding = True

    def hold(number: int, frame: FrameType | None) -> None:
        if holding:
            held.append(number)
        else:  # it came while the handlers were being put back
            handlers[signal.Signals(number)](number, frame)

    try:
        for number in handlers:
            signal.signal(number, hold)
        yield
    finally:
        holding = False
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if held:
        handlers[signal.Signals(held[0])](held[0], None)


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes the place of ``path`` when the block ends without an error.

    The temporary name keeps the suffix, by which writers choose their format. After an error nothing is left.

    Raises:
        OutputError: the folder does not exist or cannot be written.
    """
    temporary: Path | None = None
    try:
        with interrupts_held():  # or it could be made, and nobody know of it
            try:
                handle, name = tempfile.mkstemp(prefix=_prefix(path.stem), suffix=path.suffix, dir=path.parent)
            except OSError as error:
                raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
            temporary = Path(name)
            os.close(handle)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        if temporary is not None:
            with interrupts_held():
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line that ``path`` could not be written in the block: the disk is full, say.

    Raises:
        OutputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def holding_folder(path: Path) -> Iterator[None]:
    """Make a folder if need be, and keep out whoever else would hold it meanwhile.

    A folder that was made and is left empty is removed again.

    Raises:
        OutputError: the folder cannot be made, or another process holds it.
    """
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made ({error.strerror}); choose another folder") from error
    try:
        if _lock(handle) == "held":
            raise OutputError(f"{path}: another process is at work there; wait for it to end, or choose another folder")
        try:
            yield
        finally:
            if made:
                with contextlib.suppress(OSError):  # it is not empty
                    path.rmdir()
    finally:
        os.close(handle)


@contextlib.contextmanager
def _marked_as_used(handle: int) -> Iterator[None]:
    """Hold a lock on a temporary folder while it is filled; it goes with the process, however that ends."""
    try:
        _try_lock(handle)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    """Take the lock; False where another process holds it, or where the system has no such locks."""
    return _lock(handle) == "taken"


def _lock(handle: int) -> Literal["taken", "held", "none"]:
    """Take the lock of a folder; ``held`` where another process has it, ``none`` where the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except (ImportError, OSError):
        return "none"
    return "taken"


def _prefix(name: str) -> str:
    """How temporary names for ``name`` begin; nobody else's begin so."""
    return f".{name}.oakpoint-"


def _sweep(parent: Path, prefix: str, keep: Path) -> None:
    """Remove what killed writers left: temporary folders of this prefix that nobody holds the lock of."""
    for left in parent.iterdir():
        if left == keep or not left.name.startswith(prefix) or not left.is_dir():
            continue
        if left.name.startswith(f"{prefix}old-"):
            continue  # what stood there before: it may be all that is left
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime < NEW_S:
                continue  # made just now, and its writer may not have come to lock it
            handle = os.open(left, os.O_RDONLY)
            try:
                if _try_lock(handle):
                    shutil.rmtree(left)
            finally:
                os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` to fill; it takes the place of ``path`` when the block ends well.

    A kill at any moment leaves the old folder or the new one under ``path``, and at worst a hidden temporary folder
    beside it, which the next writer of the same path removes. Where the file system can exchange two names in one step
    (Linux), ``path`` exists throughout. A link to a folder stays, and leads to the new one.

    Raises:
        OutputError: the parent folder cannot be written, or a file stands at ``path``.
    """
    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: cannot make this folder, there is a file of that name")
    temporary: Path | None = None
    try:
        with interrupts_held():  # or it could be made, and nobody know of it
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = Path(tempfile.mkdtemp(prefix=_prefix(path.name), dir=path.parent))
            except OSError as error:
                raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
        with _marked_as_used(os.open(temporary, os.O_RDONLY)):
            _sweep(path.parent, _prefix(path.name), temporary)
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            with interrupts_held():
                _put_in_place(temporary, path)
    finally:
        if temporary is not None:
            with interrupts_held():
                shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Move ``temporary`` to ``path``; what stood there is then at ``temporary``, for the caller to remove."""
    if not path.exists():
        temporary.rename(path)
    elif not _exchange(temporary, path):
        aside = Path(tempfile.mkdtemp(prefix=f"{_prefix(path.name)}old-", dir=path.parent))
        path.rename(aside / path.name)
        temporary.rename(path)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step with Linux's ``renameat2(RENAME_EXCHANGE)``; False where that is not offered."""
    import ctypes

    at_fdcwd, rename_exchange = -100, 2  # values of <fcntl.h> and <linux/fs.h>
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return int(renameat2(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), rename_exchange)) == 0
