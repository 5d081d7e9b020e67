"""``oakpoint inspect`` on a small blob, a superblob made of it, and on files that are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from oakpoint.cli import inspect
from oakpoint.errors import StageMapError
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


def test_a_blob_by_itself_says_that_it_has_no_names(command: Command) -> None:
    assert "a blob has no names of layers: give the bundle" in command("inspect", TINY).out
    facts = json.loads(command("inspect", TINY, "--json").out)
    assert facts["layers"] is facts["layer_of_stage"] is None


@pytest.mark.compiler
def test_a_bundle_shows_the_layers_by_the_users_names(command: Command, small_blob_bundle: Path) -> None:
    ran = command("inspect", small_blob_bundle)
    assert ran.code == 0
    facts = json.loads(command("inspect", small_blob_bundle, "--json").out)
    names = [layer["module"] or layer["name"] for layer in facts["layers"]]
    assert names[0] == "(conversion of inputs)"
    assert {layer["operator"] for layer in facts["layers"][1:]} >= {"Conv"}
    assert all(name in ran.out for name in names)
    assert len(set(names)) == len(names) < len(facts["rows"]) + 1
    assert sum(layer["total_ms"] for layer in facts["layers"]) == pytest.approx(facts["estimate"]["total_ms"])
    owned = [index for layer in facts["layers"] for index in layer["stages"]]
    assert sorted(owned) == [row["index"] for row in facts["rows"]], "every stage is of one layer"
    for place, row in zip(facts["layer_of_stage"], facts["rows"], strict=True):
        assert row["index"] in facts["layers"][place]["stages"]
    stages = command("inspect", small_blob_bundle, "--stages").out
    assert "MyriadXHwOp" in stages.partition("format ")[0]
    assert names[1] in stages


@pytest.mark.compiler
def test_advice_for_a_bundle_names_the_layers_to_replace(
    command: Command, small_blob_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = (small_blob_bundle / "model.blob").read_bytes()
    monkeypatch.setattr(inspect, "compile_for_shaves", lambda _, **__: {6: own})
    picture = tmp_path / "layers.svg"
    ran = command("inspect", small_blob_bundle, "--advise", "--save", picture)
    assert ran.code == 0
    assert "what saves most" in ran.out
    assert "each with all other layers as they are" in ran.out
    facts = json.loads(command("inspect", small_blob_bundle, "--advise", "--json").out)
    assert 1 <= len(facts["replacements"]) <= 3
    known = {layer["module"] or layer["name"]: layer["total_ms"] for layer in facts["layers"]}
    for one in facts["replacements"]:
        assert one["now_ms"] == pytest.approx(known[one["layer"]])
        assert 0 < one["saved_ms"] <= one["now_ms"]
    assert all(name in picture.read_text() for name in known)


@pytest.mark.compiler
def test_a_bundle_whose_stages_have_no_names_shows_them_without(
    command: Command, small_blob_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> object:
        raise StageMapError("no names")

    monkeypatch.setattr(inspect, "network_costs", fail)
    ran = command("inspect", small_blob_bundle)
    assert ran.code == 0
    assert "times by layer cannot be had, stages are shown instead: no names" in ran.err
    assert "MyriadXHwOp" in ran.out
    assert json.loads(command("inspect", small_blob_bundle, "--json").out)["layers"] is None


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
