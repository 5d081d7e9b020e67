"""Reading words from a part of a file, with every access checked."""

from __future__ import annotations

import struct

from oakpoint.errors import BlobError


class Reader:
    """Reads little-endian words from ``data[start:end]`` and never past it."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if not 0 <= start <= end <= len(data):
            raise BlobError(f"bytes {start}..{end} lie outside the file of {len(data)} bytes")
        self._data = data
        self.position = start
        self.end = end

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return self.end - self.position

    def bytes(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise BlobError(f"{count} bytes are wanted at offset {self.position}, {self.left} are left")
        start = self.position
        self.position += count
        return self._data[start : self.position]

    def words(self, count: int) -> tuple[int, ...]:
        """The next unsigned words."""
        return struct.unpack(f"<{count}I", self.bytes(4 * count))

    def u32(self) -> int:
        """The next word, unsigned."""
        return self.words(1)[0]

    def i32(self) -> int:
        """The next word, signed."""
        value: int = struct.unpack("<i", self.bytes(4))[0]
        return value

    def f32(self) -> float:
        """The next word as a float."""
        value: float = struct.unpack("<f", self.bytes(4))[0]
        return value

    def part(self, count: int) -> Reader:
        """A reader of the next bytes, which this one skips."""
        if count > self.left:
            raise BlobError(f"a part of {count} bytes begins at offset {self.position}, {self.left} are left")
        part = Reader(self._data, self.position, self.position + count)
        self.position += count
        return part

    def part_at(self, offset: int, count: int) -> Reader:
        """A reader of ``count`` bytes from ``offset`` after this one's position, which stays where it is."""
        if offset + count > self.left:
            raise BlobError(f"bytes {offset}..{offset + count} lie outside a section of {self.left} bytes")
        return Reader(self._data, self.position + offset, self.position + offset + count)
