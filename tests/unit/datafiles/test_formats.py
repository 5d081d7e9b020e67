"""What is written is read back to the last bit, the same from every format."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from oakpoint.datafiles import base
from oakpoint.datafiles.opening import WRITERS, RunData, read_data
from oakpoint.datafiles.types import FrameData, Header, type_of
from oakpoint.errors import DataError, OutputError, UsageError
from oakpoint.files import shown_name

SUFFIXES = sorted(WRITERS)

KNOBS = st.dictionaries(
    st.text(max_size=8), st.none() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False),
    max_size=3,
)  # fmt: skip
NAMES = st.none() | st.text(min_size=1, max_size=12).map(shown_name).filter(bool)
TIMES = st.none() | st.floats(-1e9, 1e9)


def texts(values: list[str]) -> Any:
    column = np.empty(len(values), object)
    column[:] = values
    return column


@st.composite
def frames(draw: st.DrawFn) -> FrameData:
    n = draw(st.integers(0, 4))

    def column(dtype: Any, *shape: int) -> Any:
        return draw(arrays.arrays(dtype, (n, *shape)))

    return FrameData(
        frame=draw(st.integers(-(2**63), 2**63 - 1)),
        name=draw(NAMES),
        time_s=draw(TIMES),
        size=(draw(st.integers(0, 2**31 - 1)), 48),
        knobs=draw(KNOBS),
        columns={
            "id": column(np.int64),
            "x": column(np.float32),
            "min": column(np.float64),
            "descriptor": column(np.float32, 3),
            "label": texts(draw(st.lists(st.text(max_size=6).map(shown_name), min_size=n, max_size=n))),
        },
    )


def header_of(frame: FrameData) -> Header:
    return Header(
        kind="keypoints",
        columns={name: type_of(column).name for name, column in frame.columns.items()},
        model="acorn",
        source="ü/clip.mp4",
        task={"name": "keypoints", "parameters": {"threshold": 0.02, "labels": ["a", "ß"]}},
        notice=None,
        oakpoint="1.2.3",
    )


def written(path: Path, seen: list[FrameData]) -> Path:
    writer = WRITERS[path.suffix](path, header_of(seen[0]))
    for frame in seen:
        writer.add(frame)
    writer.finish()
    return path


def assert_same(got: FrameData, given_: FrameData) -> None:
    for name in ("frame", "name", "time_s", "size"):
        assert getattr(got, name) == getattr(given_, name)
    assert dict(got.knobs) == dict(given_.knobs)
    assert [*got.columns] == [*given_.columns]
    for name, column in given_.columns.items():
        assert (got[name].dtype, got[name].shape) == (column.dtype, column.shape)
        if column.dtype == object:
            assert got[name].tolist() == column.tolist()
        else:
            np.testing.assert_array_equal(got[name], column)
            if column.dtype.kind == "f":  # −0.0 is another number than 0.0
                there = ~np.isnan(column)
                np.testing.assert_array_equal(np.signbit(got[name][there]), np.signbit(column[there]))


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=20)
@given(seen=st.lists(frames(), min_size=1, max_size=5))
def test_what_is_written_is_read_to_the_last_bit(
    suffix: str, seen: list[FrameData], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("data") / f"t{suffix}", seen)
    data = read_data(path)
    assert data.header == header_of(seen[0])
    for _ in range(2):
        got = list(data)
        assert len(got) == len(seen)
        for mine, theirs in zip(got, seen, strict=True):
            assert_same(mine, theirs)


def keypoints(index: int, ids: list[int], rng: np.random.Generator, *, time_s: float | None = None) -> FrameData:
    n = len(ids)
    return FrameData(
        frame=index,
        name=f"f-{index}",
        time_s=time_s,
        size=(64, 48),
        knobs={"threshold": 0.1, "max_keypoints": None},
        columns={
            "id": np.array(ids, np.int64),
            "x": rng.random(n, np.float32),
            "y": rng.random(n, np.float32),
            "score": np.sort(rng.random(n, np.float32))[::-1].copy(),
            "age": np.arange(n),
        },
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_long_runs_are_written_and_read_in_blocks(
    suffix: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("base", "hdf5"):
        monkeypatch.setattr(f"oakpoint.datafiles.{module}.BLOCK_FRAMES", 7)
    for module in ("base", "hdf5"):
        monkeypatch.setattr(f"oakpoint.datafiles.{module}.BLOCK_BYTES", 1000)
    seen = [keypoints(i, list(range(i * 5 % 13)), rng) for i in range(60)]
    path = written(tmp_path / f"t{suffix}", seen)
    for mine, theirs in zip(read_data(path), seen, strict=True):
        assert_same(mine, theirs)
    if suffix == ".parquet":
        assert pyarrow.parquet.ParquetFile(path).num_row_groups > 5


def test_a_writer_holds_one_block_in_memory(tmp_path: Path, rng: np.random.Generator) -> None:
    writer = WRITERS[".h5"](tmp_path / "t.h5", header_of(keypoints(0, [1], rng)))
    for index in range(base.BLOCK_FRAMES + 3):
        writer.add(keypoints(index, [1], rng))
    assert isinstance(writer, base.BlockWriter)
    assert len(writer._frames) == 3
    writer.finish()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tracks_are_gathered_by_their_ids(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    seen = [
        keypoints(0, [7, 3], rng, time_s=0.0),
        keypoints(1, [], rng, time_s=0.5),
        keypoints(2, [3, 7, 9], rng),
        keypoints(5, [-1, 3], rng, time_s=2.5),
    ]
    data = read_data(written(tmp_path / f"t{suffix}", seen))
    tracks = data.tracks()
    assert [*tracks] == [3, 7]
    assert tracks[3].frames.tolist() == [0, 2, 5]
    np.testing.assert_array_equal(tracks[3].times_s, [0.0, math.nan, 2.5])
    rows = [(seen[0], 1), (seen[2], 0), (seen[3], 1)]
    np.testing.assert_array_equal(tracks[3].points, [[f["x"][i], f["y"][i]] for f, i in rows])
    np.testing.assert_array_equal(tracks[3].scores, [f["score"][i] for f, i in rows])
    assert [*data.tracks(least_frames=1)] == [3, 7, 9]
    assert len(tracks[7]) == 2


def test_tracks_of_boxes_are_their_centres(tmp_path: Path) -> None:
    numbers = {"x0": 1.0, "y0": 2.0, "x1": 5.0, "y1": 4.0, "score": 0.5}
    columns = {"id": np.zeros(1, np.int64)} | {name: np.array([value], np.float32) for name, value in numbers.items()}
    seen = [
        FrameData(frame=i, name=None, time_s=None, size=(8, 8), knobs={}, columns=columns) for i in range(2)
    ]  # fmt: skip
    tracks = read_data(written(tmp_path / "t.h5", seen)).tracks()
    np.testing.assert_array_equal(tracks[0].points, [[3, 3], [3, 3]])


def test_classes_have_no_tracks(tmp_path: Path) -> None:
    columns = {"rank": np.ones(1, np.int64)}
    seen = [FrameData(frame=0, name=None, time_s=None, size=(8, 8), knobs={}, columns=columns)]
    with pytest.raises(DataError, match="column id: expected one of rank"):
        read_data(written(tmp_path / "t.h5", seen)).tracks()


def test_keypoints_become_features_again(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = keypoints(0, [1, 2], rng)
    features = next(iter(read_data(written(tmp_path / "t.jsonl", [frame])))).features()
    assert features.image_size == (64, 48)
    assert features.descriptors.shape == (2, 0)
    np.testing.assert_array_equal(features.keypoints, np.stack([frame["x"], frame["y"]], axis=1))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_columns_than_the_first_frames_are_refused(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    frame = keypoints(0, [1], rng)
    writer = WRITERS[suffix](tmp_path / f"t{suffix}", header_of(frame))
    other = FrameData(
        frame=1, name=None, time_s=None, size=(8, 8), knobs={},
        columns={name: column.astype(np.float64) for name, column in frame.columns.items()},
    )  # fmt: skip
    with pytest.raises(DataError, match=r"^id: expected int64, got float64"):
        writer.add(other)
    fewer = FrameData(frame=1, name=None, time_s=None, size=(8, 8), knobs={}, columns={"id": frame["id"]})
    with pytest.raises(DataError, match="expected columns id, x, y, score, age, got others"):
        writer.add(fewer)
    writer.add(frame)
    writer.finish()
    assert len(list(read_data(tmp_path / f"t{suffix}"))) == 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_is_all_but_full_is_told_and_what_was_taken_is_kept(
    suffix: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [keypoints(i, [1, 2], rng) for i in range(3)]
    writer = WRITERS[suffix](tmp_path / f"t{suffix}", header_of(seen[0]))
    for frame in seen:
        writer.add(frame)
    free = type("Usage", (), {"free": 9 << 20})
    monkeypatch.setattr("oakpoint.files.shutil.disk_usage", lambda _: free)
    with pytest.raises(OutputError, match=r"the disk is all but full \(9 MB are left\)"):
        writer.add(seen[0])
    writer.finish()
    assert len(list(read_data(tmp_path / f"t{suffix}"))) == 3


def test_half_a_line_is_taken_back(tmp_path: Path, rng: np.random.Generator) -> None:
    frame = keypoints(0, [1], rng)
    writer = WRITERS[".jsonl"](tmp_path / "t.jsonl", header_of(frame))
    writer.add(frame)
    writer.release()
    whole = (tmp_path / "t.jsonl").read_bytes()
    assert whole.endswith(b"}\n")
    assert len(whole.splitlines()) == 2


def test_every_line_is_strict_json(tmp_path: Path) -> None:
    columns = {
        "x": np.array([math.nan, math.inf, -math.inf, 0.5], np.float32),
        "label": texts(["NaN", "Infinity", "", "ß"]),
    }
    frame = FrameData(frame=0, name="NaN Infinity", time_s=None, size=(8, 8), knobs={}, columns=columns)
    path = written(tmp_path / "t.jsonl", [frame])

    def refused(constant: str) -> None:
        raise AssertionError(constant)

    lines = [json.loads(line, parse_constant=refused) for line in path.read_text().splitlines()]
    assert lines[1]["x"] == [None, math.inf, -math.inf, 0.5]
    assert lines[1]["label"] == ["NaN", "Infinity", "", "ß"]
    assert_same(next(iter(read_data(path))), frame)


def test_other_programs_read_them(tmp_path: Path, rng: np.random.Generator) -> None:
    seen = [keypoints(0, [4, 5], rng, time_s=0.25), keypoints(1, [], rng)]
    table = pyarrow.parquet.read_table(written(tmp_path / "t.parquet", seen)).to_pydict()
    assert table["frame"] == [0, 1]
    assert table["id"] == [[4, 5], []]
    assert table["time_s"] == [0.25, None]
    with h5py.File(written(tmp_path / "t.h5", seen)) as file:
        assert file["frames/row_splits"][()].tolist() == [0, 2, 2]
        np.testing.assert_array_equal(file["rows/x"][()], seen[0]["x"])
        assert json.loads(file["header"][()])["schema"] == 1


def test_a_suffix_chooses_the_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a name that ends in .jsonl, .parquet, .h5, got .csv"):
        read_data(tmp_path / "t.csv")
    with pytest.raises(DataError, match="no such file"):
        read_data(tmp_path / "t.h5")
    assert isinstance(RunData(tmp_path, header_of(keypoints(0, [], np.random.default_rng(0)))), RunData)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"columns": {"x": np.zeros(1), "y": np.zeros(2)}}, "columns of one length"),
        ({"name": ""}, "a name that can be printed"),
        ({"name": "a\nb"}, "a name that can be printed"),
        ({"time_s": math.nan}, "a time in seconds"),
        ({"size": (-1, 2)}, "a size in pixels"),
    ],
)
def test_frames_that_no_file_holds(changes: dict[str, Any], reason: str) -> None:
    known: dict[str, Any] = {"frame": 3, "name": None, "time_s": None, "size": (1, 1), "knobs": {}, "columns": {}}
    with pytest.raises(DataError, match=f"frame 3: expected {reason}"):
        FrameData(**known | changes)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_is_full_from_the_start(
    suffix: str, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = keypoints(0, [1], rng)
    free = type("Usage", (), {"free": 0})
    monkeypatch.setattr("oakpoint.files.shutil.disk_usage", lambda _: free)
    with pytest.raises(OutputError, match=r"the disk is all but full \(0 MB are left\)"):
        WRITERS[suffix](tmp_path / f"t{suffix}", header_of(frame))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_name_that_is_not_utf8(suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9" + suffix.encode())
    frame = keypoints(0, [1], rng)
    writer = WRITERS[suffix](path, header_of(frame))
    writer.add(frame)
    writer.finish()
    assert len(list(read_data(path))) == 1
