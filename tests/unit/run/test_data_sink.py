"""What was found as data: which columns, which facts, and in place whatever ends the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oakpoint.bundle.records import TaskRecord
from oakpoint.datafiles.opening import read_data
from oakpoint.errors import OutputError, UsageError
from oakpoint.features.tracking import Tracker
from oakpoint.features.types import Features
from oakpoint.run.controls import Controls
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.sinks.data import DataSink, RunFacts
from oakpoint.tasks.base import Knob
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.tracking import BoxTracker
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.mask.result import Mask
from oakpoint.tasks.tensors.task import TensorsFound

FACTS = RunFacts(model="acorn", source="clip.mp4", notice="RANDOM WEIGHTS")


class KnownTask:
    """Stands for whichever task read a frame."""

    def __init__(self, threshold: float = 0.25) -> None:
        self.threshold = threshold

    def knobs(self) -> tuple[Knob, ...]:
        return (Knob(name="threshold", label="threshold", low=0, high=1, whole=False, value=self.threshold),)

    def record(self) -> TaskRecord:
        return TaskRecord(name="known", parameters={"threshold": self.threshold, "labels": ("a", "b")})


def frame_of(result: Any, tracks: Any = None, *, index: int = 0, threshold: float = 0.25, **more: Any) -> TrackedFrame:
    task: Any = KnownTask(threshold)
    return TrackedFrame(
        image=np.zeros((48, 64), np.uint8), result=result, tracks=tracks, controls=Controls(task=task),
        moving=tracks is not None, stages_s={}, index=index, **more,
    )  # fmt: skip


def features(n: int, dim: int = 8) -> Features:
    rng = np.random.default_rng(n)
    values = rng.normal(size=(n, dim)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Features(values[:, :2] * 40, np.linspace(1, 0.1, n, dtype=np.float32), values, (64, 48))


def columns_of(path: Path, result: Any, tracks: Any = None, *, descriptors: bool = False) -> dict[str, Any]:
    sink = DataSink.to(path, FACTS, descriptors=descriptors)
    sink.add(frame_of(result, tracks))
    sink.finish()
    (found,) = read_data(path)
    return {name: column.tolist() for name, column in found.columns.items()}


def test_keypoints_with_their_tracks(tmp_path: Path) -> None:
    tracker = Tracker(max_length=5, max_distance=0.7)
    sink = DataSink.to(tmp_path / "t.parquet", FACTS, descriptors=True)
    seen = [features(4), features(0), features(4), features(4)]
    for index, found in enumerate(seen):
        sink.add(frame_of(found, tracker.update(found), index=index, time_s=index / 10, name=f"{index}\n.png"))
    assert not (tmp_path / "t.parquet").exists()
    sink.finish()
    assert sink.in_place
    data = read_data(tmp_path / "t.parquet")
    frames = list(data)
    assert [len(frame) for frame in frames] == [4, 0, 4, 4]
    assert [frame.name for frame in frames] == [f"{index}\\n.png" for index in range(4)]
    assert [frame.time_s for frame in frames] == [0.0, 0.1, 0.2, 0.3]
    for frame, found in zip(frames, seen, strict=True):
        np.testing.assert_array_equal(frame.features().keypoints, found.keypoints)
        np.testing.assert_array_equal(frame["score"], found.scores)
        np.testing.assert_array_equal(frame["descriptor"], found.descriptors)
    assert frames[3]["age"].tolist() == [2, 2, 2, 2]
    assert [*data.tracks()] == frames[3]["id"].tolist() == [4, 5, 6, 7]


def test_an_image_by_itself_has_no_tracks(tmp_path: Path) -> None:
    columns = columns_of(tmp_path / "t.jsonl", features(2))
    assert [*columns] == ["id", "x", "y", "score", "age"]
    assert (columns["id"], columns["age"]) == ([-1, -1], [0, 0])


def test_boxes(tmp_path: Path) -> None:
    corners = np.float32([[1, 2, 3, 4], [5, 6, 7.5, 8]])
    boxes = Boxes(corners, np.float32([0.75, 0.5]), np.array([1, 0]), ("cat", "hot\ndog"))
    columns = columns_of(tmp_path / "t.h5", boxes, BoxTracker().update(boxes))
    assert columns == {
        "id": [0, 1], "x0": [1, 5], "y0": [2, 6], "x1": [3, 7.5], "y1": [4, 8], "class": [1, 0],
        "label": ["hot\\ndog", "cat"], "score": [0.75, 0.5], "age": [1, 1],
    }  # fmt: skip


def test_classes(tmp_path: Path) -> None:
    columns = columns_of(tmp_path / "t.parquet", Classes(np.array([3, 0]), np.float32([0.75, 0.25])))
    expected = {"rank": [1, 2], "class": [3, 0], "label": ["class 3", "class 0"], "probability": [0.75, 0.25]}
    assert columns == expected


def test_masks_as_shares(tmp_path: Path) -> None:
    mask = Mask(np.int16([[0, 0, 2, -1], [0, 2, 2, 2]]), ("ground", "sky", "tree"))
    columns = columns_of(tmp_path / "t.jsonl", mask)
    expected = {"class": [0, 2], "label": ["ground", "tree"], "pixels": [3, 4]}
    assert {name: columns[name] for name in expected} == expected
    assert columns["share"] == pytest.approx([3 / 7, 4 / 7])


def test_tensors_as_figures(tmp_path: Path) -> None:
    found = TensorsFound({"a": np.float32([[1, 3], [np.nan, 2]]), "b": np.full((2,), np.inf, np.float32)})
    columns = columns_of(tmp_path / "t.h5", found)
    assert (columns["output"], columns["shape"], columns["not_finite"]) == (["a", "b"], ["2x2", "2"], [1, 2])
    np.testing.assert_array_equal(columns["mean"], [2, np.nan])


def test_the_header_says_where_it_comes_from(tmp_path: Path) -> None:
    sink = DataSink.to(tmp_path / "t.jsonl", FACTS)
    sink.add(frame_of(features(1), threshold=0.25))
    sink.add(frame_of(features(1), threshold=0.5))
    sink.finish()
    data = read_data(tmp_path / "t.jsonl")
    assert data.header.task == {"name": "known", "parameters": {"threshold": 0.25, "labels": ["a", "b"]}}
    assert (data.header.kind, data.header.model, data.header.source) == ("keypoints", "acorn", "clip.mp4")
    assert data.header.notice == "RANDOM WEIGHTS"
    assert [frame.knobs for frame in data] == [{"threshold": 0.25}, {"threshold": 0.5}]


def test_descriptors_where_there_are_none(tmp_path: Path) -> None:
    for result in (features(2, dim=2).subset(np.array([0])), Mask(np.zeros((2, 2), np.int16))):
        if isinstance(result, Features):
            result = Features(result.keypoints, result.scores, np.zeros((1, 0), np.float32), (8, 8))
        sink = DataSink.to(tmp_path / "t.h5", FACTS, descriptors=True)
        with pytest.raises(UsageError, match=r"--descriptors: this network for \w+ gives none"):
            sink.add(frame_of(result))
        sink.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".h5"])
def test_what_stood_there_stays_until_the_end(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_text("before")
    sink = DataSink.to(path, FACTS)
    sink.add(frame_of(features(1)))
    assert path.read_text() == "before"
    sink.finish()
    assert len(list(read_data(path))) == 1
    aborted = DataSink.to(path, FACTS)
    aborted.abort()
    assert (len(list(read_data(path))), [*tmp_path.iterdir()]) == (1, [path])


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "t.h5").mkdir()
    with pytest.raises(OutputError, match="there is a folder of that name"):
        DataSink.to(tmp_path / "t.h5", FACTS)
    with pytest.raises(OutputError, match=r"no/t\.h5: there is no folder"):
        DataSink.to(tmp_path / "no" / "t.h5", FACTS)
    with pytest.raises(UsageError, match=r"got \.csv"):
        DataSink.to(tmp_path / "t.csv", FACTS)


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = DataSink.to(tmp_path / "t.h5", FACTS)
    sink.add(frame_of(features(1)))
    free = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr("oakpoint.files.shutil.disk_usage", lambda _: free)
    with pytest.raises(OutputError) as told:
        sink.add(frame_of(features(1)))
    assert str(told.value) == f"{tmp_path / 't.h5'}: the disk is all but full (1 MB are left)"
    sink.finish()
    assert len(list(read_data(tmp_path / "t.h5"))) == 1


def test_pyarrow_is_asked_for_before_anything_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        Exception, match=r"pyarrow, which reads and writes Parquet, is not installed: .*oakpoint\[data\]"
    ):
        DataSink.to(tmp_path / "t.parquet", FACTS)
    assert list(tmp_path.iterdir()) == []
