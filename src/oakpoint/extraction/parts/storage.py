"""A folder on a disk or in an object store, whose files are put there whole or not at all."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from oakpoint.errors import ImageError, OakpointError, OutputError, UsageError, first_line
from oakpoint.files import replacing_file
from oakpoint.runtimes import importing

EXTRA = "ray"

_WRAPPERS = frozenset(
    ("abstract", "async_wrapper", "blockcache", "cached", "dir", "filecache", "generic", "reference", "simplecache")
)
"""File systems of fsspec that are made of others, as a file or their arguments say."""


def is_url(place: str) -> bool:
    """Whether a place is given as a URL rather than as a path."""
    return "://" in place or "::" in place


def shown_url(url: str) -> str:
    """A URL as it may be printed and kept: without password and query."""
    if not is_url(url):
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit((parts.scheme, host if ":" in user else user + at + host, parts.path, "", ""))


def file_system(url: str) -> tuple[Any, str]:
    """Fsspec's file system of a URL, and the path in it; one for each URL in a process.

    Raises:
        UsageError: a kind that fsspec does not know, that is made of others, or whose driver is not installed.
        OutputError: the driver refuses it.
    """
    with importing("fsspec", extra=EXTRA, purpose=", which reads and writes URLs,"):
        import fsspec
    protocol = url.partition("://")[0]
    if "::" in url or protocol in _WRAPPERS:
        raise UsageError(
            f"{shown_url(url)}: expected one plain URL such as s3://bucket/folder, got one made of several"
        )
    if protocol not in fsspec.available_protocols():
        raise UsageError(f"{shown_url(url)}: fsspec knows no {protocol}://")
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise UsageError(
            f"{shown_url(url)}: the driver for {protocol}:// is not installed ({first_line(error)})"
        ) from error
    with translated(url, OutputError, "cannot be reached"):
        return _made(url)


@cache
def _made(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    made, path = url_to_fs(url)
    return made, path.rstrip("/")


@contextlib.contextmanager
def translated(url: str, kind: type[OakpointError], what: str) -> Iterator[None]:
    """Say in one line, without a URL's password, what a driver raised in the block."""
    try:
        yield
    except OakpointError:
        raise
    except Exception as error:  # noqa: BLE001 - a driver raises whatever its own libraries do
        reason = first_line(error).replace(url, shown_url(url))
        secrets = [urlsplit(url).password, urlsplit(url).query] if is_url(url) else []
        for secret in filter(None, secrets):
            reason = reason.replace(secret, "…")
        raise kind(f"{shown_url(url)}: {what} ({reason})") from None


@dataclass(frozen=True, slots=True)
class Storage:
    """A folder, local or not; can be pickled.

    Attributes:
        url: an absolute path, or a URL, with what its driver needs to be told.
    """

    url: str = field(repr=False)

    @classmethod
    def at(cls, place: str) -> Storage:
        """The storage at a path or URL; nothing is made there.

        Raises:
            UsageError: see ``file_system``.
        """
        if place.startswith("file://"):
            place = file_system(place)[1]
        if is_url(place):
            file_system(place)
            return cls(place.rstrip("/"))
        return cls(str(Path(place).resolve()))

    @property
    def local(self) -> Path | None:
        """The folder where it lies on this machine's file system."""
        return None if is_url(self.url) else Path(self.url)

    @property
    def shown(self) -> str:
        """What messages call it."""
        return shown_url(self.url)

    def sizes(self, folder: str) -> dict[str, int]:
        """The files of one of its folders: name → bytes; none where there is no such folder.

        Raises:
            OutputError: it cannot be read.
        """
        with translated(self.url, OutputError, f"{folder} cannot be listed"):
            if self.local is not None:
                here = self.local / folder
                found = list(here.iterdir()) if here.is_dir() else []
                return {file.name: file.stat().st_size for file in found if not file.name.startswith(".")}
            fs, root = file_system(self.url)
            fs.invalidate_cache()
            place = f"{root}/{folder}".rstrip("/")
            listed = fs.ls(place, detail=True) if fs.exists(place) else []
            return {
                info["name"].rpartition("/")[2]: int(info["size"] or 0) for info in listed if info["type"] == "file"
            }

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none.

        Raises:
            OutputError: it cannot be read.
        """
        with translated(self.url, OutputError, f"{name} cannot be read"):
            try:
                if self.local is not None:
                    return (self.local / name).read_bytes()
                fs, root = file_system(self.url)
                return bytes(fs.cat_file(f"{root}/{name}"))
            except FileNotFoundError:
                return None

    @contextlib.contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """A file as one on this machine, for as long as the block lasts.

        Raises:
            OutputError: it is missing, or cannot be read.
        """
        if self.local is not None:
            yield self.local / name
            return
        fs, root = file_system(self.url)
        with tempfile.TemporaryDirectory(prefix="oakpoint-") as folder:
            path = Path(folder) / Path(name).name
            with translated(self.url, OutputError, f"{name} cannot be read"):
                fs.get_file(f"{root}/{name}", str(path))
            yield path

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path to write to; when the block ends well, what was written is the file ``name``, whole.

        On a disk it is renamed into its place, in an object store put there as one object.

        Raises:
            OutputError: it cannot be written.
        """
        if self.local is not None:
            path = self.local / name
            with translated(self.url, OutputError, f"{name} cannot be written"):
                path.parent.mkdir(parents=True, exist_ok=True)
            with replacing_file(path) as temporary:
                yield temporary
            return
        fs, root = file_system(self.url)
        with tempfile.TemporaryDirectory(prefix="oakpoint-") as folder:
            path = Path(folder) / Path(name).name
            yield path
            with translated(self.url, OutputError, f"{name} cannot be written"):
                fs.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
                fs.put_file(str(path), f"{root}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        with self.writing(name) as path, translated(self.url, OutputError, f"{name} cannot be written"):
            path.write_bytes(content)

    def remove(self, folder: str) -> None:
        """Remove the files of a folder, and it itself; nothing where there is none.

        Raises:
            OutputError: it cannot be removed.
        """
        for name in self.sizes(folder):
            self.remove_file(f"{folder}/{name}")
        if self.local is not None:
            self.remove_temporary(folder)
            with contextlib.suppress(OSError):
                (self.local / folder).rmdir()

    def remove_temporary(self, folder: str) -> None:
        """Remove what killed writers left of ``writing`` in a folder; no other one may be at work there.

        Raises:
            OutputError: it cannot be removed.
        """
        if self.local is not None:
            with translated(self.url, OutputError, f"{folder} cannot be cleared"):
                for left in (self.local / folder).glob(".*.oakpoint-*"):
                    left.unlink(missing_ok=True)

    def remove_file(self, name: str) -> None:
        """Remove a file.

        Raises:
            OutputError: it cannot be removed.
        """
        with translated(self.url, OutputError, f"{name} cannot be removed"):
            if self.local is not None:
                (self.local / name).unlink(missing_ok=True)
                return
            fs, root = file_system(self.url)
            with contextlib.suppress(FileNotFoundError):
                fs.rm_file(f"{root}/{name}")


def read_place(path: str, within: str) -> bytes:
    """The content of an image's file.

    Args:
        path: on this machine; a URL; or a path in the storage ``within``.
        within: the URL of the folder that was given; empty where a path stands by itself.

    Raises:
        ImageError: it cannot be read.
    """
    shown = path if not within else f"{shown_url(within).partition('://')[0]}://{path}"
    with translated(within or path, ImageError, f"{shown} cannot be read"):
        if not within and not is_url(path):
            return Path(path).read_bytes()
        fs = file_system(within or path)[0]
        return bytes(fs.cat_file(path if within else file_system(path)[1]))
