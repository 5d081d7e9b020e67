"""Files of others: whatever is wrong with one is one line, and nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from oakpoint.datafiles.opening import WRITERS, read_data
from oakpoint.datafiles.types import FrameData, Header, type_of
from oakpoint.errors import DataError

SUFFIXES = sorted(WRITERS)


def frame(index: int, n: int) -> FrameData:
    rng = np.random.default_rng(index)
    label = np.empty(n, object)
    label[:] = ["cat"] * n
    x, descriptor = rng.random(n, np.float32), rng.random((n, 4), np.float32)
    columns = {"id": np.arange(n), "x": x, "descriptor": descriptor, "label": label}
    return FrameData(frame=index, name="f", time_s=0.5, size=(8, 8), knobs={"threshold": 0.5}, columns=columns)


HEADER = Header(
    kind="keypoints", columns={name: type_of(column).name for name, column in frame(0, 1).columns.items()}, model="m",
    source="s", task={"name": "keypoints", "parameters": {}}, notice=None, oakpoint="1",
)  # fmt: skip


def written(path: Path, header: Header = HEADER) -> Path:
    writer = WRITERS[path.suffix](path, header)
    for index, n in enumerate([3, 0, 5]):
        writer.add(frame(index, n))
    writer.finish()
    return path


def outcome(path: Path) -> str:
    """What reading all of a file says; empty where it can be read. No other error comes out."""
    said = ""
    try:
        for found in read_data(path):
            found.columns["x"].sum()
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    assert said.startswith(str(path)) or not said
    return said


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_cut_is_told(suffix: str, tmp_path: Path) -> None:
    whole = written(tmp_path / f"t{suffix}").read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for length in [*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        lines = suffix == ".jsonl" and length > 0 and whole[length - 1 : length] == b"\n"
        assert bool(outcome(cut)) != lines, length


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_flipped_bits_do_no_harm(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    whole = np.frombuffer(written(tmp_path / f"t{suffix}").read_bytes(), np.uint8)
    path = tmp_path / f"flipped{suffix}"
    said = 0
    for _ in range(60):
        broken = whole.copy()
        for place in rng.integers(0, len(whole), rng.integers(1, 9)):
            broken[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(broken.tobytes())
        said += bool(outcome(path))
    assert said > 0


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"[]\n", b"\x80\x04\x95", b"PAR1PAR1", b"\x89HDF\r\n\x1a\n", b"[" * 99999]
)
def test_other_files_are_told(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(content)
    assert outcome(path)


def test_a_folder_is_told(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"t{suffix}").mkdir()
        assert outcome(tmp_path / f"t{suffix}")


# JSON Lines.


def with_line(path: Path, number: int, change: Callable[[dict[str, Any]], Any]) -> Path:
    lines = written(path).read_text().splitlines()
    content = json.loads(lines[number])
    content = change(content) or content
    lines[number] = json.dumps(content)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "expected schema 1, got 2; read it with a newer oakpoint"),
        ({"schema": "1"}, "expected schema 1, got '1'"),
        ({"format": "other"}, "is no file of oakpoint run's --data"),
        ({"kind": 3}, "header: kind"),
        ({"more": 3}, "header: more"),
        ({"columns": {"x": "object"}}, "got 'object'"),
        ({"columns": {"x": "float32[99999999]"}}, r"got 'float32\[99999999\]'"),
        ({"columns": {"x": "float32[0]"}}, r"got 'float32\[0\]'"),
        ({"columns": {"frame": "int64"}}, "each with a name of its own"),
        ({"columns": {"../x": "int64"}}, "each with a name of its own"),
        ({"columns": {f"c{i}": "int64" for i in range(99)}}, "expected up to 32 columns"),
    ],
)
def test_headers(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = with_line(tmp_path / "t.jsonl", 0, lambda content: content.update(change))
    with pytest.raises(DataError, match=reason):
        read_data(path)


@pytest.mark.parametrize(
    "change",
    [
        {"frame": "0"}, {"frame": 0.5}, {"frame": True}, {"name": 1}, {"name": "a\nb"}, {"name": ""}, {"time_s": "now"},
        {"time_s": 1e999}, {"width": -1}, {"width": 1 << 40}, {"knobs": []}, {"knobs": {"a": "b"}}, {"x": 1},
        {"x": [1, 2]}, {"x": ["1", "2", "3"]}, {"x": [[1], [2], [3]]}, {"x": [[1], 2, 3]}, {"x": [{}, 1, 2]},
        {"x": [10**400, 1, 2]}, {"id": [0.5, 1, 2]}, {"id": [2**63, 1, 2]}, {"id": [None, 1, 2]}, {"label": [1, 2, 3]},
        {"descriptor": [[1, 2, 3]] * 3}, {"descriptor": [1, 2, 3]}, {"descriptor": [[1, 2, 3, 4], [1], []]},
        {"descriptor": [None] * 3}, {"descriptor": [[]] * 3}, {"more": []},
    ],
)  # fmt: skip
def test_lines(change: dict[str, Any], tmp_path: Path) -> None:
    assert outcome(with_line(tmp_path / "t.jsonl", 1, lambda content: content.update(change)))


def test_a_line_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oakpoint.datafiles.jsonl.MAX_LINE_BYTES", 1 << 10)
    path = written(tmp_path / "t.jsonl")
    with path.open("a") as file:
        file.write("9" * 5000)
    assert "expected lines of up to" in outcome(path)


# Parquet.


def test_a_table_that_is_not_what_its_header_says(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet")
    table = pyarrow.parquet.read_table(path)
    other = table.set_column(table.schema.get_field_index("x"), "x", pa.array([[1.0], [], [2.0]]))
    pyarrow.parquet.write_table(other.replace_schema_metadata(table.schema.metadata), path)
    assert "expected the columns that the header names" in outcome(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata(None), path)
    assert "is no file of oakpoint run's --data" in outcome(path)


def test_lists_of_different_lengths(tmp_path: Path) -> None:
    path = written(tmp_path / "t.parquet")
    table = pyarrow.parquet.read_table(path)
    place = table.schema.get_field_index("x")
    wanted = table.schema.field("x")
    short = table.set_column(place, wanted, pa.array([[1.0], [], [2.0]], wanted.type))
    pyarrow.parquet.write_table(short.replace_schema_metadata(table.schema.metadata), path)
    assert "expected columns of one length" in outcome(path)


def test_a_group_that_claims_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "t.parquet")
    monkeypatch.setattr("oakpoint.datafiles.parquet.MAX_BLOCK_BYTES", 100)
    assert "expected blocks of less than" in outcome(path)


# HDF5.


def changed(path: Path, change: Callable[[Any], None]) -> str:
    written(path)
    with h5py.File(path, "r+") as file:
        change(file)
    return outcome(path)


def other_place(file: Any, name: str, **how: Any) -> None:
    """A dataset that claims to hold something, and does not."""
    kind, count = file[name].dtype, file[name].shape[0]
    del file[name]
    file.create_dataset(name, (how.pop("count", count),), kind, maxshape=(None,), **how)


def test_links_lead_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.zeros(8, np.float32)

    def external_link(file: Any) -> None:
        del file["rows/x"]
        file["rows/x"] = h5py.ExternalLink(str(secret), "x")

    def soft_link(file: Any) -> None:
        del file["rows"]
        file["rows"] = h5py.SoftLink("/frames")

    def virtual(file: Any) -> None:
        del file["rows/x"]
        layout = h5py.VirtualLayout((8,), np.float32)
        layout[:] = h5py.VirtualSource(str(secret), "x", (8,))
        file.create_virtual_dataset("rows/x", layout)

    def elsewhere(file: Any) -> None:
        del file["rows/x"]
        file.create_dataset("rows/x", (8,), np.float32, external=[(str(secret), 0, 32)])

    for change in (external_link, soft_link, virtual, elsewhere):
        assert changed(tmp_path / "t.h5", change), change.__name__


def test_counts_are_held_against_what_is_there(tmp_path: Path) -> None:
    def frames(file: Any) -> None:
        for name in ("frame", "time_s", "width", "height"):
            other_place(file, f"frames/{name}", count=1 << 50, chunks=(4096,))
        other_place(file, "frames/row_splits", count=(1 << 50) + 1, chunks=(4096,))

    def rows(file: Any) -> None:
        file["frames/row_splits"][-1] = 1 << 50
        other_place(file, "rows/x", count=1 << 50, chunks=(4096,))

    def chunk(file: Any) -> None:
        other_place(file, "rows/x", chunks=(1 << 30,))

    for change in (frames, rows, chunk):
        assert changed(tmp_path / "t.h5", change), change.__name__


@pytest.mark.parametrize("splits", [[1, 3, 3, 8], [0, 5, 3, 8], [0, -3, 3, 8], [0, 9, 9, 8], [0, 3, 3, 99]])
def test_rows_that_belong_to_no_frame(splits: list[int], tmp_path: Path) -> None:
    def change(file: Any) -> None:
        file["frames/row_splits"][...] = splits

    assert changed(tmp_path / "t.h5", change)


def test_values_of_another_type(tmp_path: Path) -> None:
    def numbers_for_texts(file: Any) -> None:
        del file["rows/label"]
        file.create_dataset("rows/label", data=np.zeros(8), chunks=True)

    def doubles(file: Any) -> None:
        del file["rows/x"]
        file.create_dataset("rows/x", data=np.zeros(8), chunks=True)

    def group(file: Any) -> None:
        del file["rows/x"]
        file.create_group("rows/x")

    def broken_text(file: Any) -> None:
        file["rows/label"][0] = 0xFF

    def broken_knobs(file: Any) -> None:
        file["frames/knobs"][0] = ord("[")

    def long_texts(file: Any) -> None:
        file["rows/label_splits"][-1] = 1 << 50

    def no_header(file: Any) -> None:
        del file["header"]

    for change in (numbers_for_texts, doubles, group, broken_text, broken_knobs, long_texts, no_header):
        assert changed(tmp_path / "t.h5", change), change.__name__
