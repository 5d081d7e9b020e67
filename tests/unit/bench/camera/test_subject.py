from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from oakpoint.bench.camera.subject import unpacked
from oakpoint.errors import BundleError, UsageError
from oakpoint.myriad.superblob import superblob_from_blobs
from oakpoint.oak.model import DeviceModel

pytest.importorskip("bsdiff4")

TINY = Path(__file__).parents[3] / "data" / "myriad" / "tiny.blob"
SHAVES_OFFSET = 52 + 4 * 12


def with_shaves(shaves: int) -> bytes:
    """The tiny blob, claimed for another number of SHAVEs and with other bytes behind it."""
    changed = bytearray(TINY.read_bytes() + bytes([shaves]) * (10 * shaves))
    struct.pack_into("<I", changed, SHAVES_OFFSET, shaves)
    return bytes(changed)


class Bundle:
    """A bundle compiled for 6 SHAVEs, with a superblob or without."""

    def __init__(self, superblob: Path | None) -> None:
        self.manifest = SimpleNamespace(device=SimpleNamespace(shaves=6))
        self._superblob = superblob

    def path(self, kind: str) -> Path:
        if kind == "blob":
            return TINY
        if self._superblob is None:
            raise BundleError("has no superblob")
        return self._superblob


@pytest.fixture
def model(tmp_path: Path) -> DeviceModel:
    path = tmp_path / "model.superblob"
    path.write_bytes(superblob_from_blobs({shaves: with_shaves(shaves) for shaves in (4, 8)}))
    return cast(DeviceModel, SimpleNamespace(bundle=Bundle(path)))


@pytest.mark.parametrize("shaves", [None, 6])
def test_the_bundles_own_blob(model: DeviceModel, tmp_path: Path, shaves: int | None) -> None:
    blob = unpacked(model, shaves, tmp_path)
    assert (blob.path, blob.source, blob.shaves) == (TINY, TINY, 6)


def test_another_number_is_what_the_superblob_has_for_it(model: DeviceModel, tmp_path: Path) -> None:
    blob = unpacked(model, 4, tmp_path)
    assert blob.path.read_bytes() == with_shaves(4)
    assert (blob.source.name, blob.shaves) == ("model.superblob", 4)


def test_a_number_that_the_superblob_lacks(model: DeviceModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model.superblob: has no blob for 5 shaves, only for 4, 8"):
        unpacked(model, 5, tmp_path)


def test_no_superblob(tmp_path: Path) -> None:
    model = cast(DeviceModel, SimpleNamespace(bundle=Bundle(None)))
    with pytest.raises(UsageError, match="for other numbers make one with"):
        unpacked(model, 4, tmp_path)
