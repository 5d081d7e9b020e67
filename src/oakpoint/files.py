"""Files written whole or not at all, their hashes, and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from oakpoint.errors import OutputError


def default_cache() -> Path:
    """The user's cache folder of oakpoint (``OAKPOINT_CACHE`` overrides the platform's own)."""
    override = os.environ.get("OAKPOINT_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("oakpoint")


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes the place of ``path`` when the block ends without an error.

    The temporary name keeps the suffix, by which writers choose their format. After an error nothing is left.

    Raises:
        OutputError: the folder does not exist or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` to fill; it takes the place of ``path`` when the block ends well.

    A kill at any moment leaves the old folder or the new one under ``path``, and at worst a hidden temporary folder
    beside it. Where the file system can exchange two names in one step (Linux), ``path`` exists throughout. A link to a
    folder stays, and leads to the new one.

    Raises:
        OutputError: the parent folder cannot be written, or a file stands at ``path``.
    """
    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: cannot make this folder, there is a file of that name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise OutputError(f"{path}: cannot write here ({error.strerror})") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _put_in_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    """Move ``temporary`` to ``path``; what stood there is then at ``temporary``, for the caller to remove."""
    if not path.exists():
        temporary.rename(path)
    elif not _exchange(temporary, path):
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
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
