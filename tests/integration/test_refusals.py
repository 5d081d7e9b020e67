"""A refused request names the option that lifts the refusal."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oakpoint.errors import BundleError, UsageError

Command = Callable[..., Any]
SMALL = "small_network:SmallNetwork"
CONVERT = ("convert", SMALL, "--size", "96x64", "--out", "b")
RUN = ("run", "m.onnx", "above/images")
DISTILL = ("distill", "--images", "above/images", "--out", "r")


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_folder: Path, small_onnx: Path, small_weights: Path
) -> Path:
    """A folder with images one level too deep, an ONNX file, a weights file and an empty folder."""
    shutil.copytree(image_folder, tmp_path / "above" / "images")
    (tmp_path / "empty").mkdir()
    (tmp_path / "m.onnx").symlink_to(small_onnx)
    (tmp_path / "w.pth").symlink_to(small_weights)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((*CONVERT,), "--weights FILE"),
        (
            (*CONVERT, "--random", "--weights", "w.pth"),
            "a weights file (--weights) or a random initialisation (--random)",
        ),
        ((*CONVERT, "--random", "--to", "ir", "--superblob"), "needs --to blob or --to archive"),
        ((*CONVERT, "--random", "--batch", "2"), "take --batch 1, or stop before it (--to ir)"),
        ((*CONVERT, "--random", "--images", "above", "--to", "onnx"), "above/images has 2; give that folder, or leave"),
        ((*CONVERT, "--random", "--images", "empty", "--to", "onnx"), "or leave out --images"),
        (("convert", "m.onnx", "--size", "96x64", "--random", "--out", "b"), "leave out --weights and --random"),
        (("convert", "acorn", "--out", "b"), "--size 320x200"),
        (("convert", "acorn", "--size", "96x64", "--out", "above"), "choose another --out"),
        ((*RUN, "--backend", "onnxruntime", "--device", "GPU"), "are chosen with --backend openvino"),
        ((*RUN, "--backend", "torch"), "give --weights for the torch backend"),
        ((*RUN, "--device", "NPU"), "choose one with --device"),
        (("run", "m.onnx", "above"), "above/images has 2; give that folder"),
        ((*DISTILL, "--teacher", "alike"), "--teacher-weights FILE"),
        ((*DISTILL, "--teacher", SMALL), "--teacher-weights FILE"),
        (
            (*DISTILL, "--teacher", "small_teacher:Brightness", "--teacher-weights", "w.pth"),
            "leave out --teacher-weights",
        ),
        (("distill", "--images", "above/images/camera.png", "--out", "r"), "give more with --images or --synthetic"),
    ],
)
def test_the_option_is_named(command: Command, place: Path, words: tuple[str, ...], named: str) -> None:
    ran = command(*words)
    assert ran.code == 1
    assert len(ran.errors) == 1, ran.err
    assert named in ran.errors[0]
    assert {path.name for path in place.iterdir()} == {"above", "empty", "m.onnx", "w.pth"}


@pytest.mark.parametrize(
    "words",
    [
        ("run", "up", "images"),
        ("verify", "up"),
        ("inspect", "up"),
        ("extract", "up", "images", "--out", "f.h5"),
        ("run", "up", "oak"),
        ("convert", "up", "--out", "b"),
    ],
)
def test_a_folder_above_the_bundle_names_it(
    command: Command,
    small_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_bundle, tmp_path / "up" / "bundle")
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((120, 160), np.uint8))
    ran = command(*words)
    assert ran.code == 1
    assert len(ran.errors) == 1, ran.err
    assert "up/bundle is a bundle: give that folder" in ran.errors[0]


def test_a_network_of_the_same_name_as_a_folder_is_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from oakpoint.models.naming import model_of

    monkeypatch.chdir(tmp_path)
    (tmp_path / "acorn").mkdir()
    assert model_of("acorn").origin((64, 64)).network is not None


@pytest.mark.parametrize(
    ("kind", "option"),
    [("blob", "--to blob"), ("oak_json", "--to blob"), ("archive", "--to archive"), ("superblob", "--superblob")],
)
def test_what_a_bundle_lacks(small_bundle: Path, kind: Any, option: str) -> None:
    from oakpoint.bundle.folder import open_bundle

    with pytest.raises(BundleError, match=f"convert again with {option}"):
        open_bundle(small_bundle).path(kind)


def test_other_weights_than_the_bundles(small_bundle: Path, small_weights: Path) -> None:
    from oakpoint.bundle.records import WeightsRecord
    from oakpoint.errors import WeightsError
    from oakpoint.networks.registry import reload_network

    record = WeightsRecord(file="theirs.pth", sha256="0" * 64, name="unknown", licence="unknown", origin="unknown")
    with pytest.raises(WeightsError, match=r"weights \(theirs.pth, .*give that file with --weights"):
        reload_network(SMALL, record, small_weights)


def test_an_image_smaller_than_a_cell(small_onnx: Path) -> None:
    import numpy as np

    import oakpoint
    from oakpoint.errors import ImageError

    with oakpoint.load(small_onnx) as extractor, pytest.raises(ImageError, match="--size 320x240"):
        extractor(np.zeros((4, 40), np.uint8))
    with pytest.raises(UsageError, match="neither a bundle"):
        oakpoint.load(small_onnx.parent)
