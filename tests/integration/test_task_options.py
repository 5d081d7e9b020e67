"""Options of tasks on the command line: those that mean nothing are refused, and results come as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oakpoint.bundle.folder import open_bundle

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--labels", "LABELS"), "labels: means nothing for a network for keypoints; its parameters are: threshold, "),
        (("--iou", "0.5"), "iou_threshold: means nothing for a network for keypoints"),
        (("--top", "3"), "top: means nothing for a network for keypoints"),
        (("--labels", "none.txt"), "none.txt: cannot be read as labels (No such file or directory); expected one name"),
    ],
)
def test_an_option_of_another_task(
    command: Command, small_bundle: Path, image_folder: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\n")
    ran = command("run", small_bundle, image_folder / "camera.png", *(labels if w == "LABELS" else w for w in words))
    assert ran.code == 1
    (error,) = ran.errors
    assert message in error


def test_a_conversion_refuses_them_before_any_work(
    command: Command, small_onnx: Path, task_onnx: Callable[[str], Path], tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    for model, message in (
        (small_onnx, "labels: means nothing for a network for keypoints"),
        (task_onnx("SmallUNet"), "labels: expected 5, one for each class of the network, got 2"),
    ):
        ran = command("convert", model, "--size", "192x128", "--labels", labels, "--out", tmp_path / "b")
        assert ran.code == 1
        assert message in ran.err
        assert not (tmp_path / "b").exists()


def test_labels_travel_in_the_bundle(
    command: Command, task_onnx: Callable[[str], Path], image_folder: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps([f"name {n}" for n in range(10)]))
    model, bundle = task_onnx("SmallClassifier"), tmp_path / "b"
    ran = command(
        "convert",
        model,
        "--size",
        "192x128",
        "--to",
        "ir",
        "--labels",
        labels,
        "--images",
        image_folder,
        "--out",
        bundle,
    )
    assert ran.code == 0, ran.err
    parameters = open_bundle(bundle).manifest.task.parameters
    assert (parameters["labels"][3], parameters["activation"]) == ("name 3", "softmax")
    ran = command("run", bundle, image_folder, "--top", "2", "--json")
    results = json.loads(ran.out)["results"]
    assert [result["name"] for result in results] == ["camera.png", "coffee.png"]
    for result in results:
        assert [found["label"] for found in result["classes"]] == [f"name {f['class']}" for f in result["classes"]]
        assert len(result["classes"]) == 2


def test_keypoints_come_as_data_too(command: Command, small_bundle: Path, image_folder: Path) -> None:
    ran = command("run", small_bundle, image_folder, "--max-keypoints", "5", "--json")
    facts = json.loads(ran.out)
    assert (facts["frames"], facts["found"]) == (2, "keypoints")
    for result in facts["results"]:
        assert len(result["keypoints"]) == len(result["scores"]) == len(result["tracks"]) == 5


def test_what_is_said_of_a_task(command: Command, task_onnx: Callable[[str], Path], image_folder: Path) -> None:
    """One channel may be a depth: it is a mask where that is said."""
    model, image = task_onnx("ForegroundNet"), image_folder / "coffee.png"
    ran = command("run", model, image, "--json")
    assert json.loads(ran.out)["found"] == "tensors"
