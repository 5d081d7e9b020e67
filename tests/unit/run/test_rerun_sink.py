"""A run in Rerun: what is logged is what was found, read back from the file."""

from __future__ import annotations

import importlib
import os
import socket
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oakpoint.errors import OutputError, UsageError
from oakpoint.features.tracking import Tracker
from oakpoint.features.types import Features
from oakpoint.run import rerun_viewer
from oakpoint.run.controls import Controls
from oakpoint.run.frames import TrackedFrame
from oakpoint.run.sinks.data import RunFacts
from oakpoint.run.sinks.rerun import RerunSink
from oakpoint.tasks.boxes.result import Boxes
from oakpoint.tasks.boxes.tracking import BoxTracker
from oakpoint.tasks.classes.result import Classes
from oakpoint.tasks.mask.result import Mask
from oakpoint.tasks.tensors.task import TensorsFound

FACTS = RunFacts(model="acorn", source="clip.mp4", notice="RANDOM WEIGHTS")


def frame_of(result: Any, tracks: Any = None, *, index: int = 0, **more: Any) -> TrackedFrame:
    task: Any = None
    image = np.full((48, 64), 40 + index, np.uint8)
    return TrackedFrame(
        image=image, result=result, tracks=tracks, controls=Controls(task=task), moving=tracks is not None,
        **{"stages_s": {"read": 0.002, "network": 0.004}, "index": index, **more},
    )  # fmt: skip


def features(n: int) -> Features:
    values = np.random.default_rng(n).normal(size=(n, 8)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Features(values[:, :2] * 40, np.linspace(1, 0.1, n, dtype=np.float32), values, (64, 48))


def logged(path: Path) -> dict[str, dict[int | None, dict[str, Any]]]:
    """By entity and frame (None for static): each component's values."""
    found: dict[str, dict[int | None, dict[str, Any]]] = defaultdict(dict)
    for chunk in importlib.import_module("rerun.chunk").RrdReader(path).stream():
        rows = chunk.to_record_batch().to_pylist()
        for row in rows:
            found[chunk.entity_path].setdefault(row.get("frame"), {}).update(row)
    return {entity: dict(sorted(rows.items(), key=lambda item: item[0] or 0)) for entity, rows in found.items()}


def saved(path: Path, frames: list[TrackedFrame]) -> dict[str, dict[int | None, dict[str, Any]]]:
    sink = RerunSink.to(path, FACTS)
    for frame in frames:
        sink.add(frame)
    assert not path.exists()
    sink.finish()
    assert sink.in_place
    assert [*path.parent.iterdir()] == [path]
    return logged(path)


def test_keypoints_and_tracks(tmp_path: Path) -> None:
    tracker = Tracker(max_length=5, max_distance=0.7)
    seen = [features(4), features(4), features(0)]
    frames = [frame_of(found, tracker.update(found), index=3 + i, time_s=i / 10) for i, found in enumerate(seen)]
    rows = saved(tmp_path / "t.rrd", frames)
    points = rows["/frame/keypoints"]
    assert [*points] == [3, 4, 5]
    for index, found in zip((3, 4, 5), seen, strict=True):
        centres = np.array(points[index]["Points2D:positions"], np.float32).reshape(-1, 2)
        np.testing.assert_array_equal(centres, found.keypoints + np.float32(0.5))
        assert points[index]["oakpoint:score"] == found.scores.tolist()
    assert points[4]["oakpoint:id"] == [0, 1, 2, 3]
    assert points[4]["oakpoint:age"] == [2, 2, 2, 2]
    assert [row["time"].total_seconds() for row in points.values()] == [0.0, 0.1, 0.2]
    lines = rows["/frame/tracks"]
    assert [len(row["LineStrips2D:strips"]) for row in lines.values()] == [0, 4, 0]
    assert [len(strip) for strip in lines[4]["LineStrips2D:strips"]] == [2, 2, 2, 2]
    last = [strip[-1] for strip in lines[4]["LineStrips2D:strips"]]
    np.testing.assert_array_equal(np.float32(last), seen[1].keypoints + np.float32(0.5))
    assert lines[4]["oakpoint:id"] == [0, 1, 2, 3]
    assert [row["Scalars:scalars"] for row in rows["/found/keypoints"].values()] == [[4], [4], [0]]
    assert [row["Scalars:scalars"] for row in rows["/found/tracks"].values()] == [[0], [4], [0]]
    assert rows["/time/stages_ms/network"][3]["Scalars:scalars"] == [4.0]
    assert rows["/notice"][None]["TextDocument:text"] == ["RANDOM WEIGHTS"]


def test_the_frame_itself(tmp_path: Path) -> None:
    rows = saved(tmp_path / "t.rrd", [frame_of(features(1), index=index) for index in range(2)])
    (data,) = rows["/frame/image"][1]["EncodedImage:blob"]
    image = cv2.imdecode(np.array(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image.shape == (48, 64)
    assert abs(int(image.mean()) - 41) <= 1
    assert "time" not in rows["/frame/image"][1], "still images have none"


def test_boxes(tmp_path: Path) -> None:
    boxes = Boxes(np.float32([[1, 2, 3, 6], [5, 6, 7, 8]]), np.float32([0.75, 0.5]), np.array([1, 0]), ("cat", "dog"))
    (row,) = saved(tmp_path / "t.rrd", [frame_of(boxes, BoxTracker().update(boxes))])["/frame/boxes"].values()
    assert row["Boxes2D:labels"] == ["dog 0.75 #0", "cat 0.50 #1"]
    assert row["Boxes2D:centers"] == [[2.5, 4.5], [6.5, 7.5]]
    assert row["Boxes2D:half_sizes"] == [[1, 2], [1, 1]]
    assert row["oakpoint:score"] == [0.75, 0.5]


def test_masks_with_colours_and_names(tmp_path: Path) -> None:
    mask = Mask(np.int16([[0, 1, -1], [0, 1, 1]]), ("background", "road/way"))
    rows = saved(tmp_path / "t.rrd", [frame_of(mask)])
    (data,) = rows["/frame/mask"][0]["SegmentationImage:buffer"]
    assert list(data) == [0, 1, 255, 0, 1, 1]
    infos = {
        info["class_id"]: info["class_description"]["info"]
        for info in rows["/frame"][0]["AnnotationContext:context"][0]
    }
    assert {number: info["label"] for number, info in infos.items()} == {
        0: "background",
        1: "road/way",
        255: "not seen",
    }
    assert [infos[number]["color"] & 255 for number in (0, 1, 255)] == [0, 255, 0], "the background is left as it is"
    assert rows[r"/found/share/road\/way"][0]["Scalars:scalars"] == pytest.approx([3 / 5])


def test_classes_and_tensors(tmp_path: Path) -> None:
    classes = Classes(np.array([3, 0]), np.float32([0.75, 0.25]), tuple("abcd"))
    rows = saved(
        tmp_path / "t.rrd", [frame_of(classes), frame_of(TensorsFound({"a": np.ones(3, np.float32)}), index=1)]
    )
    assert rows["/classes/list"][0]["TextDocument:text"] == ["  75.0%  d\n  25.0%  a"]
    assert [*rows["/frame/image"]] == [0, 1]


def test_a_heat_map_while_it_is_drawn(tmp_path: Path) -> None:
    heat = np.zeros((48, 64), np.float32)
    frames = [frame_of(features(1), index=i, heat_map=heat if i == 1 else None) for i in range(4)]
    rows = saved(tmp_path / "t.rrd", frames)["/frame/heat_map"]
    assert [*rows] == [1, 2]
    assert rows[2]["Clear:is_recursive"] == [False]


def test_a_cameras_time_begins_at_its_first_frame(tmp_path: Path) -> None:
    frames = [frame_of(features(1), index=i, time_s=5000.0 + i, latency_s=0.025) for i in range(2)]
    rows = saved(tmp_path / "t.rrd", frames)
    assert [row["time"].total_seconds() for row in rows["/frame/image"].values()] == [0.0, 1.0]
    assert rows["/time/latency_ms"][1]["Scalars:scalars"] == pytest.approx([25])


def test_nothing_is_left_of_a_run_without_frames(tmp_path: Path) -> None:
    (tmp_path / "t.rrd").write_text("before")
    RerunSink.to(tmp_path / "t.rrd", FACTS).abort()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_full_disk_is_told_and_what_was_taken_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = RerunSink.to(tmp_path / "t.rrd", FACTS)
    sink.add(frame_of(features(1)))
    free = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr("oakpoint.files.shutil.disk_usage", lambda _: free)
    with pytest.raises(OutputError, match=r"/t.rrd: the disk is all but full \(1 MB are left\)"):
        sink.add(frame_of(features(1), index=1))
    sink.finish()
    assert [*logged(tmp_path / "t.rrd")["/frame/image"]] == [0]


def test_a_file_holds_each_frame_once(tmp_path: Path) -> None:
    sink = RerunSink.to(tmp_path / "t.rrd", FACTS)
    sink.add(frame_of(features(2)))
    sink.redraw(frame_of(features(1)))
    sink.finish()
    assert len(logged(tmp_path / "t.rrd")["/frame/keypoints"][0]["oakpoint:score"]) == 2


def test_rerun_switched_off_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERUN", "off")
    with pytest.raises(UsageError, match="the environment's variable RERUN switches Rerun off"):
        RerunSink.to(tmp_path / "t.rrd", FACTS)
    assert list(tmp_path.iterdir()) == []


# Viewers.


@pytest.fixture
def no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun_viewer, "_answers", lambda host, port, timeout_s: False)


@pytest.mark.usefixtures("no_viewer")
def test_no_display_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun_viewer.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=r"there is no display here; save to an \.rrd, or"):
        rerun_viewer.viewer_url(None)


@pytest.mark.usefixtures("no_viewer")
def test_a_viewer_that_ends_at_once_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr(rerun_viewer.sys, "executable", "/bin/false")
    with pytest.raises(OutputError, match="the viewer does not start"):
        rerun_viewer.viewer_url(None)


@pytest.mark.usefixtures("no_viewer")
@pytest.mark.parametrize(
    "address", ["somewhere", "host:", "host:0", "host:99999", "http://host:1/proxy", "host:1/x", "a b:1"]
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(UsageError, match=r"expected HOST:9876 or rerun\+http"):
        rerun_viewer.viewer_url(address)


@pytest.mark.usefixtures("no_viewer")
def test_an_address_where_nothing_answers() -> None:
    with pytest.raises(OutputError, match=r"nothing answers at host:9876; start  rerun  there"):
        rerun_viewer.viewer_url("host:9876")


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "rerun+http://127.0.0.1:{}/proxy"])
def test_an_address_where_something_answers(form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        listener = threading.Thread(target=lambda: server.accept()[0].close())
        listener.start()
        assert rerun_viewer.viewer_url(form.format(port)) == f"rerun+http://127.0.0.1:{port}/proxy"
        listener.join()


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Rerun writes to a name in UTF-8 only"):
        RerunSink.to(tmp_path / os.fsdecode(b"caf\xe9.rrd"), FACTS)
    assert list(tmp_path.iterdir()) == []
