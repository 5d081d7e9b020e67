"""``oakpoint run`` to data and to Rerun, as a user runs it."""

from __future__ import annotations

import importlib
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import write_clip
from rich.console import Console

import oakpoint
from oakpoint.cli import console
from oakpoint.view.results.keypoints import KeypointsView

Command = Callable[..., Any]

NAMES = ["t.jsonl", "t.parquet", "t.h5"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, photographs: dict[str, Any]) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.avi", photographs["camera"], frames=6)


def test_the_formats_hold_the_same(command: Command, small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    for name in NAMES:
        ran = command("run", small_bundle, clip, "--data", tmp_path / name, "--descriptors", "--json")
        assert (ran.code, ran.errors) == (0, [])
        facts = json.loads(ran.out)
        assert facts["data"] == str(tmp_path / name)
    runs = [list(oakpoint.read_data(tmp_path / name)) for name in NAMES]
    for frames in zip(*runs, strict=True):
        for name, column in frames[0].columns.items():
            for other in frames[1:]:
                np.testing.assert_array_equal(other[name], column)
    seen = runs[0]
    assert [len(frame) for frame in seen] == [len(found["keypoints"]) for found in facts["results"]]
    for frame, found in zip(seen, facts["results"], strict=True):
        assert frame["id"].tolist() == found["tracks"]
        np.testing.assert_array_equal(
            frame.features().keypoints.tolist(), np.reshape(found["keypoints"], (-1, 2)).tolist()
        )
        assert frame.time_s == found["time_s"]
    tracks = oakpoint.read_data(tmp_path / "t.h5").tracks()
    assert 3 <= max(map(len, tracks.values())) <= 6
    assert oakpoint.match(seen[0].features(), seen[1].features()).indices.shape[0] > 10


def test_the_header_says_what_ran(command: Command, small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    ran = command("run", small_bundle, clip, "--threshold", "0.1", "--data", tmp_path / "t.jsonl")
    assert ran.out.splitlines()[-1] == f"data {tmp_path / 't.jsonl'}"
    header = oakpoint.read_data(tmp_path / "t.jsonl").header
    assert (header.model, header.source, header.notice) == (str(small_bundle), str(clip), "RANDOM WEIGHTS")
    assert header.oakpoint == oakpoint.__version__
    assert header.task["parameters"]["decode"]["threshold"] == 0.1


@pytest.mark.parametrize(
    ("network", "columns"),
    [
        ("ChannelsFirstDetector", ["id", "x0", "y0", "x1", "y1", "class", "label", "score", "age"]),
        ("SmallUNet", ["class", "label", "pixels", "share"]),
        ("SmallClassifier", ["rank", "class", "label", "probability"]),
    ],
)
def test_networks_of_other_tasks(
    command: Command, task_onnx: Callable[[str], Path], clip: Path, tmp_path: Path, network: str, columns: list[str]
) -> None:
    ran = command("run", task_onnx(network), clip, "--data", tmp_path / "t.h5", "--save", tmp_path / "t.rrd")
    assert (ran.code, ran.errors) == (0, [])
    frames = list(oakpoint.read_data(tmp_path / "t.h5"))
    assert [len(frame) > 0 for frame in frames] == [True] * 6
    assert [*frames[0].columns] == columns
    chunks = list(importlib.import_module("rerun.chunk").RrdReader(tmp_path / "t.rrd").stream())
    assert sum(chunk.num_rows for chunk in chunks if chunk.entity_path == "/frame/image") == 6
    refused = command("run", task_onnx(network), clip, "--data", tmp_path / "u.h5", "--descriptors")
    assert refused.code == 1
    assert "--descriptors: this network for" in refused.err
    assert not (tmp_path / "u.h5").exists()


def test_an_image_by_itself(command: Command, small_bundle: Path, image_folder: Path, tmp_path: Path) -> None:
    image = image_folder / "camera.png"
    ran = command("run", small_bundle, image, "--data", tmp_path / "t.parquet", "--save", tmp_path / "t.rrd")
    assert (ran.code, ran.errors) == (0, [])
    (frame,) = oakpoint.read_data(tmp_path / "t.parquet")
    assert (set(frame["id"].tolist()), frame.time_s, frame.name) == ({-1}, None, "camera.png")
    assert (tmp_path / "t.rrd").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--data", "t.csv"], "t.csv: expected a name that ends in .jsonl, .parquet, .h5, got .csv"),
        (["--data", "t"], "t: expected a name that ends in .jsonl, .parquet, .h5, got no suffix"),
        (["--data", "no/t.h5"], "no/t.h5: there is no folder no; make it first"),
        (["--descriptors"], "--descriptors: counts with --data only"),
        (["--rerun-address", "host:1"], "--rerun-address: counts with --view rerun only"),
        (["--view", "nothing"], "got 'nothing'"),
        (["--save", "t.mp4", "--data", "no/t.h5"], "no/t.h5: there is no folder no; make it first"),
        (["--save", "no/t.rrd"], "no/t.rrd: there is no folder no; make it first"),
    ],
)
def test_what_cannot_be_meant(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    options: list[str], reason: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ran = command("run", small_bundle, clip, *options)
    assert ran.code != 0
    assert len(ran.errors) == 1
    assert reason in ran.errors[0]
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_is_not_written_over(command: Command, small_bundle: Path, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "t.h5").symlink_to(clip)
    ran = command("run", small_bundle, clip, "--data", tmp_path / "t.h5")
    assert ran.code != 0
    assert ran.errors == [f"error: {tmp_path / 't.h5'}: is what is read, and would be lost; choose another --data"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_keeps_what_was_found(
    small_bundle: Path, photographs: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    long = write_clip(tmp_path / "clip.avi", photographs["camera"], frames=3000)
    files = [tmp_path / "out" / name for name in ("t.jsonl", "t.rrd")]
    files[0].parent.mkdir()
    arguments = ["run", str(small_bundle), str(long), "--data", str(files[0]), "--save", str(files[1])]
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # also where it is ignored
    code = f"{heard}; from oakpoint.__main__ import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not any(part.stat().st_size > 20000 for part in files[0].parent.glob(".t.*.jsonl")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert sorted(files[0].parent.iterdir()) == files
    frames = list(oakpoint.read_data(files[0]))
    assert 0 < len(frames) < 3000
    assert [frame.frame for frame in frames] == list(range(len(frames)))
    chunks = list(importlib.import_module("rerun.chunk").RrdReader(files[1]).stream())
    assert sum(chunk.num_rows for chunk in chunks if chunk.entity_path == "/frame/image") == len(frames)


@pytest.mark.parametrize("name", ["t.mp4", "t.gif", "t", "t.rrd"])
def test_a_first_frame_that_data_does_not_take_is_recorded_nowhere(
    command: Command, small_bundle: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(KeypointsView, "columns", lambda *_, **__: {})
    ran = command("run", small_bundle, clip, "--save", tmp_path / name, "--data", tmp_path / "t.h5", "--descriptors")
    assert (ran.code, ran.errors) == (1, ["error: --descriptors: this network for keypoints gives none"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("terminal", [False, True])
def test_labels_are_told_letter_by_letter(
    command: Command,
    task_onnx: Callable[[str], Path],
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
) -> None:
    """They are anybody's: neither markup nor a control sequence of a terminal."""
    labels = tmp_path / "labels.txt"
    labels.write_text("a[/x]\x1b[31m\n" * 10)
    shown = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=shown, force_terminal=terminal, highlight=False, width=200))
    ran = command("run", task_onnx("ProbableClassifier"), clip, "--labels", labels)
    assert ran.code == 0, shown.getvalue()
    assert r"6 frames, a[/x]\x1b[31m first in 6" in ran.out
    assert (r"a[/x]\x1b[31m " in shown.getvalue()) == terminal
