"""Superblobs: our reader, DepthAI's reader, and what both say of damaged ones."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from oakpoint.errors import BlobError, UsageError
from oakpoint.myriad.superblob import blobs_from_superblob, superblob_from_blobs

pytest.importorskip("bsdiff4")

SHAVES_OFFSET = 52 + 4 * 12


def with_shaves(data: bytes, shaves: int) -> bytes:
    """The same network, claimed for another number of SHAVEs and with other bytes behind it."""
    changed = bytearray(data + bytes([shaves]) * (10 * shaves))
    struct.pack_into("<I", changed, SHAVES_OFFSET, shaves)
    return bytes(changed)


@pytest.fixture(scope="module")
def blobs(tiny_bytes: bytes) -> dict[int, bytes]:
    return {shaves: with_shaves(tiny_bytes, shaves) for shaves in range(1, 17)}


@pytest.fixture(scope="module")
def superblob(blobs: dict[int, bytes]) -> bytes:
    return superblob_from_blobs(blobs)


def test_round_trip(blobs: dict[int, bytes], superblob: bytes) -> None:
    assert blobs_from_superblob(superblob) == blobs
    assert len(superblob) < 2 * len(blobs[8]) + 16 * 512


def test_depthai_gives_every_blob_back(blobs: dict[int, bytes], superblob: bytes, tmp_path: Path) -> None:
    depthai = pytest.importorskip("depthai")
    path = tmp_path / "network.superblob"
    path.write_bytes(superblob)
    theirs = depthai.OpenVINO.SuperBlob(str(path))
    for shaves, content in blobs.items():
        assert bytes(theirs.getBlobWithNumShaves(shaves).data) == content


def test_some_numbers_only(blobs: dict[int, bytes]) -> None:
    some = {shaves: blobs[shaves] for shaves in (4, 8, 13)}
    assert blobs_from_superblob(superblob_from_blobs(some)) == some


def test_what_cannot_be_joined(blobs: dict[int, bytes]) -> None:
    with pytest.raises(UsageError, match="8 among them"):
        superblob_from_blobs({4: blobs[4]})
    with pytest.raises(UsageError, match="from 1 to 16"):
        superblob_from_blobs({**blobs, 17: blobs[16]})
    with pytest.raises(BlobError, match="was compiled for 5"):
        superblob_from_blobs({8: blobs[8], 4: blobs[5]})


@pytest.mark.parametrize("length", [0, 135, 136, 3000, -1])
def test_truncated(superblob: bytes, length: int) -> None:
    with pytest.raises(BlobError, match="not a superblob"):
        blobs_from_superblob(superblob[:length])


def test_damaged_patch(superblob: bytes) -> None:
    base_size = struct.unpack_from(">q", superblob)[0]
    for offset in (0, 8, 24, 40, 60):
        damaged = bytearray(superblob)
        damaged[136 + base_size + offset] ^= 0xFF
        with pytest.raises(BlobError, match="1 SHAVE"):
            blobs_from_superblob(bytes(damaged))


def test_a_plain_blob_is_not_a_superblob(tiny_bytes: bytes) -> None:
    with pytest.raises(BlobError, match="not a superblob"):
        blobs_from_superblob(tiny_bytes)
