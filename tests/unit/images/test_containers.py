from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oakpoint.images.containers import Container, read_container

FRAMES = 12
FOURCC = {"mp4": "mp4v", "mov": "mp4v", "avi": "MJPG", "mkv": "mp4v"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The content of a video of twelve frames in each container."""
    folder, contents = tmp_path_factory.mktemp("videos"), {}
    for suffix, fourcc in FOURCC.items():
        path = folder / f"a.{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*fourcc), 20, (64, 48))
        for k in range(FRAMES):
            writer.write(np.full((48, 64, 3), 10 + 15 * k, np.uint8))
        writer.release()
        contents[suffix] = path.read_bytes()
    return contents


def container_of(folder: Path, content: bytes) -> Container:
    path = folder / "video"
    path.write_bytes(content)
    return read_container(path)


@pytest.mark.parametrize(("suffix", "counts"), [("mp4", True), ("mov", True), ("avi", True), ("mkv", False)])
def test_a_whole_file(tmp_path, videos, suffix, counts):
    assert container_of(tmp_path, videos[suffix]) == Container(counts_frames=counts, missing_bytes=0)


@pytest.mark.parametrize("suffix", ["avi", "mkv"])
@pytest.mark.parametrize("missing", [2, 100, 1000])
def test_a_file_cut_short_says_how_much_is_missing(tmp_path, videos, suffix, missing):
    found = container_of(tmp_path, videos[suffix][:-missing])
    assert missing - 1 <= found.missing_bytes <= missing


def test_an_mp4_cut_short_within_its_pictures_or_its_index(tmp_path, videos):
    for missing in (1, 50, len(videos["mp4"]) - videos["mp4"].index(b"mdat") - 10):
        found = container_of(tmp_path, videos["mp4"][:-missing])
        assert found.missing_bytes > 0
        assert not found.counts_frames


@pytest.mark.parametrize("suffix", FOURCC)
@pytest.mark.parametrize("tail", [b"some text in plain letters", b"\0" * 100, b"SEFT\1\2\3\4"])
def test_what_a_program_appended_is_nothing_missing(tmp_path, videos, suffix, tail):
    assert container_of(tmp_path, videos[suffix] + tail).missing_bytes == 0


def test_an_edit_list_that_hides_frames_makes_the_count_an_estimate(tmp_path, videos):
    content = videos["mp4"]
    place = content.index(b"elst") + 4 + 4 + 4  # version and flags, number of entries, then the first one's duration
    duration = int.from_bytes(content[place : place + 4], "big")
    for share, counts in ((1.0, True), (0.97, True), (0.5, False), (0.0, False)):
        changed = content[:place] + round(share * duration).to_bytes(4, "big") + content[place + 4 :]
        assert container_of(tmp_path, changed).counts_frames == counts


def test_a_fragmented_mp4_counts_nothing(tmp_path, videos):
    content = videos["mp4"]
    place = content.index(b"moov") - 4
    length = int.from_bytes(content[place : place + 4], "big")
    box = (8).to_bytes(4, "big") + b"mvex"
    changed = (
        content[:place] + (length + 8).to_bytes(4, "big") + content[place + 4 : place + length] + box
        + content[place + length :]
    )  # fmt: skip
    assert not container_of(tmp_path, changed).counts_frames


def test_a_streamed_matroska_file_has_no_size(tmp_path):
    header = b"\x1a\x45\xdf\xa3\x80"
    assert container_of(tmp_path, header + b"\x18\x53\x80\x67\xff" + b"\0" * 8).missing_bytes == 0
    assert container_of(tmp_path, header + b"\x18\x53\x80\x67\x01" + b"\xff" * 7).missing_bytes == 0
    assert container_of(tmp_path, header + b"\x18\x53\x80\x67\x90").missing_bytes == 16


def test_an_avi_that_is_still_written_says_nothing(tmp_path, videos):
    content = videos["avi"]
    assert container_of(tmp_path, content[:4] + b"\0" * 4 + content[8:]) == Container()


def test_no_such_file(tmp_path):
    assert read_container(tmp_path / "nosuch") == Container()
    assert read_container(tmp_path) == Container()


HEADS = st.sampled_from(
    [
        b"RIFF",
        b"AVI ",
        b"\x1a\x45\xdf\xa3",
        b"\x18\x53\x80\x67",
        b"ftyp",
        b"moov",
        b"trak",
        b"mdia",
        b"elst",
        b"\0\0\0\x08",
    ]
)


@given(content=st.lists(st.one_of(HEADS, st.binary(max_size=12)), max_size=12).map(b"".join))
def test_no_bytes_break_it(tmp_path_factory, content):
    found = container_of(tmp_path_factory.getbasetemp(), content)
    assert found.missing_bytes >= 0


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), suffix=st.sampled_from(sorted(FOURCC)))
def test_no_changed_byte_breaks_it(tmp_path_factory, videos, place, byte, suffix):
    content = bytearray(videos[suffix])
    content[place % len(content)] = byte
    assert container_of(tmp_path_factory.getbasetemp(), bytes(content)).missing_bytes >= 0
