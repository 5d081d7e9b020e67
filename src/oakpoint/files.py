"""Files written whole or not at all, their hashes, and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Literal

from oakpoint.errors import OutputError, naming


def default_cache() -> Path:
    """The user's cache folder of oakpoint (``OAKPOINT_CACHE`` overrides the platform's own)."""
    override = os.environ.get("OAKPOINT_CACHE")
    if override:
        return Path(override)
    import platformdirs

    return platformdirs.user_cache_path("oakpoint")


ENDING_SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__
)
"""What asks a program to end: Ctrl-C; ``docker stop``, systemd and ``timeout``; a terminal that is closed."""

NEW_S = 2.0
"""Temporary folders younger than this are left alone by the sweep."""


def shown_name(name: str) -> str:
    r"""A file's name as text that can be printed, written and drawn.

    Bytes in it that are not UTF-8 become ``\xe9`` and the like, control characters ``\n`` and the like.
    """

    def shown(character: str) -> str:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:  # a byte that Python could not decode (PEP 383)
            return f"\\x{code - 0xDC00:02x}"
        return character if character.isprintable() else character.encode("unicode_escape").decode()

    return "".join(map(shown, name))


def is_utf8(path: Path) -> bool:
    """Whether a file's name is text in UTF-8: OpenCV's video and GIF functions crash on one that is not."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


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

    The temporary name keeps the suffix, by which writers choose their format. After an error nothing is left, and the
    error names ``path``.

    Raises:
        OutputError: the folder does not exist or cannot be written.
    """
    temporary: Path | None = None
    try:
        with interrupts_held():  # or it could be made, and nobody know of it
            place = path.parent.absolute() / f"{_temporary_name(path.stem)}{path.suffix}"
            try:
                os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
                temporary = place
                mode = _usable_meanwhile(temporary, 0o600)
            except OSError as error:
                raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
        with naming(temporary, str(path)):
            yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        if temporary is not None:
            with interrupts_held():
                temporary.unlink(missing_ok=True)


def check_can_write(path: Path) -> None:
    """Refuse early what ``replacing_file`` could not write once all has been worked out.

    Raises:
        OutputError: there is no such folder, it cannot be written, or a folder stands at ``path``.
    """
    if path.is_dir():
        raise OutputError(f"{path}: there is a folder of that name")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot write here (not permitted)")


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


LEAST_FREE_BYTES = 8 << 20
"""What is written as it comes ends while there is still as much room on the disk, so that it can be finished."""


def require_room(path: Path, needed: int) -> None:
    """Stop while what was written can still be finished: many writers say nothing, or break, when the disk is full.

    Args:
        path: what is being written.
        needed: bytes that are to come, beside ``LEAST_FREE_BYTES``.

    Raises:
        OutputError: there is less room.
    """
    with writing(path):
        free = shutil.disk_usage(path.parent).free
    if free < LEAST_FREE_BYTES + needed:
        raise OutputError(f"{path}: the disk is all but full ({free / 1e6:.0f} MB are left)")


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
def writing_folder(path: Path) -> Iterator[Path]:
    """Give whoever writes the file ``path`` step by step an empty hidden folder beside it, and keep other writers out.

    It is gone afterwards; what a killed writer left in it is removed by the next one.

    Raises:
        OutputError: the parent folder cannot be written, or another process is writing ``path``.
    """
    folder = path.parent / f"{_prefix(path.name)}writing"
    try:
        handle = _locked_folder(folder)
    except OSError as error:
        raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
    if handle is None:
        raise OutputError(f"{path}: another process is writing it; wait for that to end, or choose another file")
    try:
        for left in folder.iterdir():
            left.unlink()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _locked_folder(folder: Path) -> int | None:
    """A handle on a folder, made if need be, that holds its lock; None where another process holds it."""
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # its last holder has just removed it
        if _lock(handle) == "held":
            os.close(handle)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), folder.stat()):
                return handle
        os.close(handle)  # the lock is that of a folder which is gone


def exchange_files(new: Path, path: Path) -> bool:
    """Put the file ``new`` in the place of ``path`` in one step, and what stood there in the place of ``new``.

    Returns:
        Whether something stands at ``new`` now; False where nothing stood at ``path``, or where the file system can
        neither exchange two names nor give a file two of them.

    Raises:
        OutputError: it cannot be done.
    """
    with writing(path):
        if path.exists() and _exchange(new, path):
            return True
        kept = new.with_name(f"{new.name}.kept")
        try:
            os.link(path, kept)
        except OSError:
            new.replace(path)
            return False
        new.replace(path)
        kept.replace(new)
        return True


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


def _temporary_name(name: str) -> str:
    """A name that nothing else has: a file or folder that was made under it is this writer's own."""
    return f"{_prefix(name)}{secrets.token_hex(8)}"


def _usable_meanwhile(made: Path, needed: int) -> int:
    """The permissions that the system gave to a new file or folder, to be given again when it is done.

    They follow from the umask or the folder's access list. Python can only read the umask by changing it, which other
    threads would notice. Until it is done the writer may use it, also under a umask that takes that away.
    """
    mode = stat.S_IMODE(made.stat().st_mode)
    if mode & needed != needed:
        made.chmod(mode | needed)
    return mode


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
            place = path.parent / _temporary_name(path.name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                place.mkdir()
                temporary = place
                mode = _usable_meanwhile(temporary, 0o700)
            except OSError as error:
                raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
        with _marked_as_used(os.open(temporary, os.O_RDONLY)):
            _sweep(path.parent, _prefix(path.name), temporary)
            with naming(temporary, str(path)):
                yield temporary
            temporary.chmod(mode)
            with interrupts_held():
                _put_in_place(temporary, path)
    finally:
        if temporary is not None:
            with interrupts_held():
                shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Give an empty folder with a short path among the system's temporary ones, gone when the block ends.

    What killed programs left under the same prefix is removed first.

    Raises:
        OutputError: there is no place for it.
    """
    parent = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())  # noqa: S108 - sockets' paths
    with writing(parent):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with _marked_as_used(os.open(folder, os.O_RDONLY)):
            _sweep(parent, prefix, folder)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
