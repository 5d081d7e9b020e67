"""DepthAI's superblob: one network compiled for 1 to 16 SHAVEs in one file.

Layout, found by experiment against ``depthai.OpenVINO.SuperBlob`` of depthai 3.12: seventeen signed 64-bit numbers,
big endian: the size of the blob for 8 SHAVEs, then the sizes of the patches for 1 to 16 SHAVEs; that blob; the
patches in order, each a BSDIFF40 file that makes the blob for its number of SHAVEs from the one for 8. A patch of
size 0 stands for none: DepthAI then gives the blob for 8 SHAVEs whatever number was asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import ModuleType
from typing import Final

from oakpoint.errors import BlobError, UsageError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.format import MAX_MEMORY_BYTES, MAX_SHAVES
from oakpoint.runtimes import importing

BASE_SHAVES: Final = 8
_HEADER: Final = struct.Struct(f">{1 + MAX_SHAVES}q")
_PATCH_MAGIC: Final = b"BSDIFF40"
_PATCH_HEADER: Final = struct.Struct("<8s3q")


def require_bsdiff4() -> ModuleType:
    """Import bsdiff4, or say which extra brings it."""
    with importing("bsdiff4", extra="oak"):
        import bsdiff4
    module: ModuleType = bsdiff4
    return module


def superblob_from_blobs(blobs: Mapping[int, bytes]) -> bytes:
    """Join blobs of one network.

    Args:
        blobs: the content of a blob for each number of SHAVEs, 8 among them. For a number that is missing DepthAI runs
            the blob for 8 SHAVEs, so give all of 1 to 16 to a file that others will use.

    Returns:
        Content of the superblob.

    Raises:
        UsageError: the blob for 8 SHAVEs is missing, or a number is not 1 to 16.
        BlobError: a blob is damaged, or was compiled for another number of SHAVEs than stated.
        MissingExtraError: bsdiff4 is not installed.
    """
    strange = sorted(set(blobs) - set(range(1, MAX_SHAVES + 1)))
    if strange or BASE_SHAVES not in blobs:
        raise UsageError(
            f"blobs for {sorted(blobs)} SHAVEs: expected numbers from 1 to {MAX_SHAVES}, {BASE_SHAVES} among them"
        )
    for shaves, content in blobs.items():
        _check(content, shaves)
    bsdiff4 = require_bsdiff4()
    base = blobs[BASE_SHAVES]
    patches = [
        bsdiff4.diff(base, blobs[shaves]) if shaves in blobs and shaves != BASE_SHAVES else b""
        for shaves in range(1, MAX_SHAVES + 1)
    ]
    return b"".join([_HEADER.pack(len(base), *map(len, patches)), base, *patches])


def blobs_from_superblob(data: bytes) -> dict[int, bytes]:
    """Take the blobs out of a superblob.

    Args:
        data: content of the file.

    Returns:
        The content of a blob for each number of SHAVEs that the file holds, in rising order.

    Raises:
        BlobError: the file is truncated or damaged, or a blob in it is.
        MissingExtraError: bsdiff4 is not installed.
    """
    if len(data) < _HEADER.size:
        raise BlobError(f"not a superblob: {len(data)} bytes, its header alone takes {_HEADER.size}")
    base_size, *patch_sizes = _HEADER.unpack_from(data)
    if min(base_size, *patch_sizes) < 0 or _HEADER.size + base_size + sum(patch_sizes) != len(data):
        raise BlobError(f"not a superblob, or truncated: the parts that it lists do not add up to {len(data)} bytes")
    position = _HEADER.size + base_size
    base = data[_HEADER.size : position]
    blobs = {}
    for shaves, size in enumerate(patch_sizes, start=1):
        patch = data[position : position + size]
        position += size
        if shaves == BASE_SHAVES:
            blobs[shaves] = base
        elif patch:
            blobs[shaves] = _patched(base, patch, shaves)
    for shaves, content in blobs.items():
        _check(content, shaves)
    return blobs


def _patched(base: bytes, patch: bytes, shaves: int) -> bytes:
    """Apply a patch whose stated sizes are sane; what is wrong inside it is an error of the file."""
    if len(patch) < _PATCH_HEADER.size:
        raise BlobError(f"the patch for {shaves} SHAVEs has {len(patch)} bytes only")
    magic, control_size, difference_size, new_size = _PATCH_HEADER.unpack_from(patch)
    if magic != _PATCH_MAGIC or min(control_size, difference_size) < 0 or not 0 < new_size <= MAX_MEMORY_BYTES:
        raise BlobError(f"the patch for {shaves} SHAVEs is damaged")
    try:
        result: bytes = require_bsdiff4().patch(base, patch)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise BlobError(f"the patch for {shaves} SHAVEs is damaged ({error})") from error
    return result


def _check(content: bytes, shaves: int) -> None:
    found = Blob.from_bytes(content, source=f"blob for {shaves} SHAVEs").header.shaves
    if found != shaves:
        raise BlobError(f"the blob given for {shaves} SHAVEs was compiled for {found}")
