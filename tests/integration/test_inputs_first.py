"""What goes in and where results go is looked at before a model is opened, which may take long."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]

OPENERS = (
    "oakpoint.cli.run.load",
    "oakpoint.cli.extract.load_extractor",
    "oakpoint.loading.load_extractor",  # parts import it when they are asked for
    "oakpoint.cli.match.load_extractor",
    "oakpoint.evaluate.candidates.load_extractor",
    "oakpoint.cli.bench_camera.open_device_model",
    "oakpoint.oak.model.open_device_model",
    "oakpoint.cli.run_oak.open_stand_in",
)


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fails where a model is opened; gives a folder with a text file, an image that is none, and a picture's name."""

    for name in OPENERS:  # all of them first: one that is imported meanwhile would keep the other's stand-in for good
        import_module(name.rpartition(".")[0])

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a model was opened")

    for name in OPENERS:
        monkeypatch.setattr(name, refuse)
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("no video")
    Path("broken.png").write_text("no image")
    Path("empty").mkdir()
    Path("folder.mp4").mkdir()


PARTS = ("extract", "acorn", "--engine", "ray")

CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "run, missing": (("run", "acorn", "missing.png"), "missing.png: no such file"),
    "run, missing video": (("run", "acorn", "missing.mp4"), "missing.mp4: no such file or folder"),
    "run, no image": (("run", "acorn", "broken.png"), "broken.png: "),
    "run, no video": (("run", "acorn", "notes.txt"), "notes.txt: no frame of it can be decoded"),
    "run, empty folder": (("run", "acorn", "empty"), "empty: "),
    "run, bad size": (("run", "acorn", "IMAGE", "--size", "big"), "size: "),
    "run, no place": (
        ("run", "acorn", "IMAGE", "--save", "no/a.png"),
        "no/a.png: there is no folder no",
    ),
    "run, no place for data": (("run", "acorn", "IMAGE", "--data", "no/a.jsonl"), "no/a.jsonl: there is no folder no"),
    "run, a folder's place": (("run", "acorn", "FOLDER", "--save", "folder.mp4"), "there is a folder of that name"),
    "run, a suffix": (("run", "acorn", "IMAGE", "--save", "a.bmp"), "a.bmp: expected .png"),
    "run, a folder's suffix": (("run", "acorn", "FOLDER", "--save", "a.avi"), "a.avi: expected a name that ends in"),
    "run on the chip, missing": (("run", "b", "missing.png", "--backend", "depthai"), "missing.png: no such file"),
    "replay, missing": (("run", "b", "missing.png", "--backend", "depthai-replay"), "missing.png: no such file"),
    "camera, no place": (("run", "b", "oak", "--save", "no/a.mp4"), "no/a.mp4: there is no folder no"),
    "extract, missing": (("extract", "acorn", "missing", "--out", "f.h5"), "missing: no such image, folder or video"),
    "extract, no video": (("extract", "acorn", "notes.txt", "--out", "f.h5"), "notes.txt: no frame of it"),
    "extract, empty folder": (("extract", "acorn", "empty", "--out", "f.h5"), "empty: "),
    "extract, no place": (("extract", "acorn", "FOLDER", "--out", "no/f.h5"), "no/f.h5: there is no folder no"),
    "extract, another's file": (("extract", "acorn", "FOLDER", "--out", "notes.txt"), "expected an HDF5 file"),
    "extract, bad size": (("extract", "acorn", "FOLDER", "--out", "f.h5", "--size", "big"), "size: "),
    "parts, missing": ((*PARTS, "missing", "--out", "p"), "missing: no such image, list or folder"),
    "parts, empty folder": ((*PARTS, "empty", "--out", "p"), "empty: no image"),
    "parts of nothing": ((*PARTS, "FOLDER", "--out", "p", "--shard-size", "0"), "shard-size: expected 1 image or more"),
    "merged, no place": ((*PARTS, "FOLDER", "--out", "p", "--merge", "no/f.h5"), "no/f.h5: there is no folder no"),
    "merged, another's file": ((*PARTS, "FOLDER", "--out", "p", "--merge", "notes.txt"), "expected an HDF5 file"),
    "merged, among the parts": ((*PARTS, "FOLDER", "--out", "p", "--merge", "p/f.h5"), "p/f.h5 lies in --out"),
    "match, missing": (("match", "missing.png", "IMAGE"), "missing.png: no such"),
    "match, missing folder": (("match", "IMAGE", "missing"), "missing: no such"),
    "match, no place": (("match", "IMAGE", "IMAGE", "--save", "no/a.png"), "no/a.png: there is no folder no"),
    "match, another's file": (("match", "IMAGE", "IMAGE", "--features", "notes.txt"), "expected an HDF5 file"),
    "eval, missing": (("eval", "acorn", "--dataset", "missing"), "missing: "),
    "eval, missing photographs": (("eval", "acorn", "--photographs", "missing"), "missing: "),
    "eval, no place": (("eval", "acorn", "--dataset", "empty", "--csv", "no/a.csv"), "no/a.csv: there is no folder no"),
    "bench, missing": (("bench", "b", "--images", "missing"), "missing: "),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_told_in_one_line_and_no_model_is_opened(case: str, command: Command, image_folder: Path) -> None:
    words, message = CASES[case]
    places = {"IMAGE": image_folder / "camera.png", "FOLDER": image_folder}
    ran = command(*(places.get(word, word) for word in words))
    assert ran.code == 1
    assert ran.out == ""
    assert len(ran.errors) == 1
    assert message in ran.errors[0]
    assert not Path("p").exists()


def test_without_ray_nothing_is_written(
    command: Command, image_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = command(*PARTS, image_folder, "--out", tmp_path / "p")
    assert ran.code == 1
    assert "ray, which extracts in several processes, is not installed" in ran.errors[0]
    assert not (tmp_path / "p").exists()


def test_a_missing_source_loads_neither_runtime_nor_torch(tmp_path: Path) -> None:
    """In a process of its own, by what it has imported when it ends."""
    program = """
import sys
sys.argv = ["oakpoint", "run", "superpoint", "missing.png"]
from oakpoint.__main__ import main
try:
    main()
except SystemExit as end:
    print(end.code, sorted({"torch", "openvino", "onnxruntime"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ran.stdout == "1 []\n"
    assert ran.stderr.startswith("error: missing.png: no such file")
