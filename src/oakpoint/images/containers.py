"""What a video file says of itself that FFmpeg does not pass on: whether it counts its frames, and whether it is whole.

A frame count that OpenCV reports is the file's own in some containers, and in the others the duration times the frame
rate, which for a variable rate is no count at all. A container that gives the size of what it holds tells a file that
was cut short. Only headers are read, every length is checked against the file, and what is not understood is unknown.

Sources: ISO/IEC 14496-12:2022, 4.2 (boxes), 8.6.6 (edit list), 8.8.1 (movie extends); RFC 8794 and RFC 9559 (EBML and
Matroska); Microsoft, «AVI RIFF File Reference»; GIF89a.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_LARGEST_INDEX = 1 << 28
"""Bytes of an MP4's index that are looked into; that of a day of video is smaller."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HOLDING = (b"mdat", b"moov", b"moof")
_TOP_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid")


@dataclass(frozen=True, slots=True)
class Container:
    """What a video file says of itself.

    Attributes:
        counts_frames: the number of frames that OpenCV reports is written in the file, and all of them are shown.
        missing_bytes: how much the file says it holds beyond its end, at least; 0 where it is whole or says nothing.
    """

    counts_frames: bool = False
    missing_bytes: int = 0


def read_container(path: Path) -> Container:
    """What a video file says of itself; nothing for a container that is not known, or a file that cannot be read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(12)
            if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
                return _avi(file, size)
            if head[:6] in (b"GIF87a", b"GIF89a"):  # FFmpeg reads all of a GIF on opening it
                return Container(counts_frames=True)
            if head[:4] == _EBML:
                return Container(missing_bytes=_missing_of_matroska(file, size))
            if head[4:8] in _TOP_BOXES:
                return _mp4(file, size)
    except OSError:
        pass
    return Container()


def _avi(file: BinaryIO, size: int) -> Container:
    """RIFF chunks one after the other; of a file beyond 1 GB (OpenDML) there are several."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        header = file.read(12)
        if header[:4] != b"RIFF" or header[8:12] not in (b"AVI ", b"AVIX"):
            break  # what some programs append
        length = int.from_bytes(header[4:8], "little")
        if length == 0:  # still being written
            return Container()
        end += 8 + length + length % 2
    # The last byte may be padding that was not written.
    return Container(counts_frames=True, missing_bytes=max(0, end - 1 - size))


def _missing_of_matroska(file: BinaryIO, size: int) -> int:
    """The EBML header, then the segment, whose size is unknown where the file was streamed."""
    place = 0
    for identifier in (_EBML, _SEGMENT):
        file.seek(place)
        header = file.read(12)
        if header[:4] != identifier or len(header) < 5 or header[4] == 0:
            return 0
        width = 9 - header[4].bit_length()
        length = int.from_bytes(header[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if identifier == _SEGMENT and length == (1 << 7 * width) - 1:
            return 0
        place += 4 + width + length
    return max(0, place - size)


def _mp4(file: BinaryIO, size: int) -> Container:
    counts, missing = False, 0
    for kind, start, end in _boxes(file, 0, size):
        if end > size:
            missing = end - size if kind in _HOLDING else 0
        elif kind == b"moov" and end - start <= _LARGEST_INDEX:
            file.seek(start)
            counts = _counts_frames(file.read(end - start))
    return Container(counts_frames=counts, missing_bytes=missing)


def _counts_frames(moov: bytes) -> bool:
    """Whether the index lists all frames (a fragmented file's does not), and no edit list leaves some of them out."""
    movie = _children(moov)
    if b"mvex" in movie or b"mvhd" not in movie or b"trak" not in movie:
        return False
    timescale = _clock(movie[b"mvhd"][0])[0]
    return all(_is_shown_whole(track, timescale) for track in movie[b"trak"])


def _is_shown_whole(trak: bytes, movie_timescale: int) -> bool:
    """Whether a track is not a video's, or its edit list covers all of it, to half a frame."""
    track = _children(trak)
    media = _children(track.get(b"mdia", [b""])[0])
    if media.get(b"hdlr", [b""])[0][8:12] != b"vide" or b"edts" not in track:
        return True
    edits = _children(track[b"edts"][0]).get(b"elst", [b""])[0]
    table = _children(_children(media.get(b"minf", [b""])[0]).get(b"stbl", [b""])[0])
    frames = int.from_bytes(table.get(b"stsz", [b""])[0][8:12], "big")
    timescale, duration = _clock(media.get(b"mdhd", [b""])[0])
    if 0 in (timescale, movie_timescale, frames):
        return False
    shown_s = sum(_edit_durations(edits)) / movie_timescale
    return shown_s >= duration / timescale * (1 - 0.5 / frames)


def _clock(header: bytes) -> tuple[int, int]:
    """Ticks a second and the duration in them, of a ``mvhd`` or ``mdhd``; version 1 has wider fields."""
    wide = header[:1] == b"\1"
    place, width = (20, 8) if wide else (12, 4)
    timescale = int.from_bytes(header[place : place + 4], "big")
    return timescale, int.from_bytes(header[place + 4 : place + 4 + width], "big")


def _edit_durations(elst: bytes) -> Iterator[int]:
    """Duration of each entry that shows something; one whose media time is −1 is a pause."""
    width = 8 if elst[:1] == b"\1" else 4
    for place in range(8, len(elst) - 2 * width - 3, 2 * width + 4):
        duration, start = elst[place : place + width], elst[place + width : place + 2 * width]
        if int.from_bytes(start, "big", signed=True) >= 0:
            yield int.from_bytes(duration, "big")


def _children(box: bytes) -> dict[bytes, list[bytes]]:
    """Contents of the boxes in a box, by kind."""
    found: dict[bytes, list[bytes]] = {}
    for kind, start, end in _boxes(io.BytesIO(box), 0, len(box)):
        found.setdefault(kind, []).append(box[start:end])
    return found


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte of the content and end of each box; the last may reach beyond ``end``."""
    while start + 8 <= end:
        file.seek(start)
        header = file.read(16)
        length, kind, skipped = int.from_bytes(header[:4], "big"), header[4:8], 8
        if length == 1 and len(header) == 16:
            length, skipped = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:  # to the end of the file
            length = end - start
        if length < skipped or not kind.isascii():
            return  # no box: what some programs append
        yield kind, start + skipped, start + length
        start += length
