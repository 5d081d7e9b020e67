"""What is asked of whatever writes or reads one format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np

from oakpoint.datafiles.types import Column, ColumnType, FrameData, Header
from oakpoint.errors import DataError
from oakpoint.files import require_room

BLOCK_BYTES = 4 << 20
"""Formats that are written in blocks hold as much of a run in memory at most, and one frame."""

BLOCK_FRAMES = 256

MAX_BLOCK_BYTES = 1 << 30
"""A block that claims to be larger is not read: what is written is a hundredth of it."""


class DataWriter(ABC):
    """Writes frames to one file.

    Args:
        path: where; it is made or written over.
        header: what stands at its beginning.

    Raises:
        MissingExtraError: the format needs a package that is not installed.
        OutputError: it cannot be written, or the disk is all but full.
    """

    @classmethod  # noqa: B027  # most formats need nothing
    def require(cls) -> None:
        """Make sure that the packages which the format needs are there.

        Raises:
            MissingExtraError: one is not.
        """

    def __init__(self, path: Path, header: Header) -> None:
        require_room(path, BLOCK_BYTES)
        self._path = path
        self._types = header.types()

    def add(self, frame: FrameData) -> None:
        """Take the next frame.

        Raises:
            DataError: other columns than the header's.
            OutputError: it cannot be written, or the disk is all but full.
        """
        if [*frame.columns] != [*self._types]:
            raise DataError(f"frame {frame.frame}: expected columns {', '.join(self._types)}, got others")
        for name, kind in self._types.items():
            if not kind.takes(frame.columns[name]):
                column = frame.columns[name]
                raise DataError(f"{name}: expected {kind.name}, got {column.dtype} {column.shape}")
        require_room(self._path, frame.nbytes + BLOCK_BYTES)
        self._add(frame)

    @abstractmethod
    def _add(self, frame: FrameData) -> None:
        """Take a frame of the header's columns."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is still to be written, and close the file; called once.

        Raises:
            OutputError: it cannot be written.
        """

    @abstractmethod
    def release(self) -> None:
        """Close the file as it is, if it is open."""


class BlockWriter(DataWriter):
    """Writes several frames at a time."""

    def __init__(self, path: Path, header: Header) -> None:
        super().__init__(path, header)
        self._frames: list[FrameData] = []
        self._bytes = 0

    def _add(self, frame: FrameData) -> None:
        self._frames.append(frame)
        self._bytes += frame.nbytes
        if self._bytes >= BLOCK_BYTES or len(self._frames) >= BLOCK_FRAMES:
            self._write_all()

    def _write_all(self) -> None:
        """Write what was taken and not yet written; again what could not be written before."""
        if self._frames:
            self._write(self._frames)
            self._frames, self._bytes = [], 0

    @abstractmethod
    def _write(self, frames: list[FrameData]) -> None:
        """Write frames, one or more."""

    def _column(self, frames: list[FrameData], name: str) -> Column:
        """All rows of a column."""
        return np.concatenate([frame.columns[name] for frame in frames])

    def finish(self) -> None:
        """See ``DataWriter.finish``."""
        self._write_all()
        self.release()


class OpenData(Protocol):
    """A data file that is open for reading."""

    @property
    def header(self) -> Header:
        """What stands at its beginning."""

    def frames(self) -> Iterator[FrameData]:
        """Each frame in the order of the file; holds a block of them in memory.

        Raises:
            DataError: the file is damaged.
        """


class DataFormat(Protocol):
    """One format: a module with a writer's class and a function that opens files."""

    def open_data(self, path: Path) -> AbstractContextManager[OpenData]:
        """Open a file of untrusted origin.

        Raises:
            DataError: it is missing, damaged, of another format or schema.
            MissingExtraError: the format needs a package that is not installed.
        """


def offsets_of(frames: list[FrameData]) -> list[int]:
    """Where each frame's rows begin in a block of them, and where the last ones end."""
    return [0, *np.cumsum([len(frame) for frame in frames]).tolist()]


def checked_texts(texts: list[object]) -> Column:
    """A column of texts of untrusted origin.

    Raises:
        DataError: one is no text.
    """
    if any(not isinstance(text, str) for text in texts):
        raise DataError("expected texts, got something else")
    column = np.empty(len(texts), ColumnType.named("text").dtype)
    column[:] = texts
    return column
