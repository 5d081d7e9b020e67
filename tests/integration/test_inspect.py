"""``oakpoint inspect`` on a small blob, a superblob made of it, and on files that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from oakpoint.myriad.superblob import superblob_from_blobs

TINY = Path(__file__).parents[1] / "data" / "myriad" / "tiny.blob"

Command = Callable[..., Any]


def test_table_and_totals(command: Command) -> None:
    ran = command("inspect", TINY)
    assert ran.code == 0
    assert "MyriadXHwOp" in ran.out
    assert "multiply-accumulates" in ran.out
    assert "±30%" in ran.out


def test_json_agrees_with_the_table(command: Command) -> None:
    facts = json.loads(command("inspect", TINY, "--json").out)
    assert facts["file"] == str(TINY)
    assert facts["rows"]
    assert facts["estimate"]["range_ms"][0] < facts["estimate"]["total_ms"] < facts["estimate"]["range_ms"][1]
    assert facts["estimate"]["total_ms"] == pytest.approx(
        sum(
            max(row["cost"]["engine_ms"], row["cost"]["shave_ms"]) + row["cost"]["memory_ms"] + row["cost"]["fixed_ms"]
            for row in facts["rows"]
        )
    )


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_picture(command: Command, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"line{suffix}"
    assert command("inspect", TINY, "--save", path).code == 0
    if suffix == ".png":
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.std() > 0
    else:
        assert "estimated time" in path.read_text()


def test_advice_for_one_blob_says_that_it_knows_only_that(command: Command) -> None:
    ran = command("inspect", TINY, "--advise")
    assert ran.code == 0
    assert "give a .superblob or a bundle" in ran.err


def test_advice_for_a_superblob(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("bsdiff4")
    content = bytearray(TINY.read_bytes())
    blobs = {}
    for shaves in (4, 8):
        blobs[shaves] = _for_shaves(content, shaves)
    path = tmp_path / "tiny.superblob"
    path.write_bytes(superblob_from_blobs(blobs))
    facts = json.loads(command("inspect", path, "--advise", "--json").out)
    assert {(entry["shaves"], entry["threads"]) for entry in facts["advice"]} == {(4, 1), (4, 2), (8, 1), (8, 2)}


def _for_shaves(content: bytearray, shaves: int) -> bytes:
    """The blob with another number of SHAVEs in its header: word 12 behind the ELF header of 52 bytes."""
    changed = bytearray(content)
    changed[52 + 4 * 12 : 52 + 4 * 13] = shaves.to_bytes(4, "little")
    return bytes(changed)


@pytest.mark.parametrize("content", [b"", b"\x7felf", b"no blob at all" * 100])
def test_a_file_that_is_no_blob_is_one_line(command: Command, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.blob"
    path.write_bytes(content)
    ran = command("inspect", path)
    assert ran.code == 1
    assert ran.err.startswith("error:")
    assert len(ran.err.strip().splitlines()) == 1
    assert "wrong.blob" in ran.err


def test_a_missing_file_is_one_line(command: Command, tmp_path: Path) -> None:
    for name in ("none.blob", "none.superblob"):
        ran = command("inspect", tmp_path / name)
        assert ran.code == 1
        assert name in ran.err
        assert len(ran.err.strip().splitlines()) == 1
