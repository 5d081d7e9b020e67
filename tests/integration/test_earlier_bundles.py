"""Bundles with a manifest of schema 1 are opened, run, verified and converted again as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from earlier_manifest import as_schema_1
from numpy.typing import NDArray

import oakpoint
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain.verification import verify_bundle
from oakpoint.oak.model import open_stand_in
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_STAGE

Copied = Callable[[Path], Path]
Command = Callable[..., Any]


def earlier(bundle: Path) -> Path:
    """The bundle, its manifest written as an earlier version wrote it."""
    path = bundle / "manifest.json"
    path.write_text(json.dumps(as_schema_1(json.loads(path.read_text())), indent=2) + "\n")
    assert json.loads(path.read_text())["schema_version"] == 1
    return bundle


def assert_same(found: Any, expected: Any) -> None:
    for name in ("keypoints", "scores", "descriptors"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_it_finds_the_same(
    small_bundle: Path, copied: Copied, photographs: dict[str, NDArray[np.uint8]], backend: str
) -> None:
    old = earlier(copied(small_bundle))
    with oakpoint.load(small_bundle, backend=backend) as now, oakpoint.load(old, backend=backend) as then:
        assert then.identity() == now.identity()
        expected, found = now(photographs["camera"]), then(photographs["camera"])
    assert len(expected) > 20
    assert_same(found, expected)


def test_it_is_verified(small_bundle: Path, copied: Copied, photographs: dict[str, NDArray[np.uint8]]) -> None:
    bundle = open_bundle(earlier(copied(small_bundle)))
    reports = verify_bundle(bundle, {"camera": photographs["camera"]}, None)
    assert {report.stage: report.verdict for report in reports} == {
        ONNX_STAGE: Verdict.PASS,
        IR_STAGE: Verdict.PASS,
    }


def test_it_is_converted_again_and_then_of_this_schema(
    command: Command, small_bundle: Path, copied: Copied, image_folder: Path, tmp_path: Path
) -> None:
    old = earlier(copied(small_bundle))
    ran = command("convert", old, "--size", "96x64", "--to", "ir", "--images", image_folder, "--out", tmp_path / "new")
    assert ran.code == 0, ran.err
    manifest = open_bundle(tmp_path / "new").manifest
    assert json.loads((tmp_path / "new" / "manifest.json").read_text())["schema_version"] == 2
    assert manifest.preprocess.size == (96, 64)
    assert manifest.network == open_bundle(small_bundle).manifest.network
    assert manifest.task == open_bundle(small_bundle).manifest.task


def test_commands_take_it(
    command: Command, small_bundle: Path, copied: Copied, image_folder: Path, tmp_path: Path
) -> None:
    old = earlier(copied(small_bundle))
    for words in (
        ("verify", old, "--images", image_folder),
        ("run", old, image_folder),
        ("extract", old, image_folder, "--out", tmp_path / "f.h5"),
    ):
        ran = command(*words)
        assert ran.code == 0, (words, ran.err)


def test_a_broken_one_is_one_line(command: Command, small_bundle: Path, copied: Copied, image_folder: Path) -> None:
    old = earlier(copied(small_bundle))
    path = old / "manifest.json"
    content = json.loads(path.read_text())
    content["decode"]["threshold"] = 7
    path.write_text(json.dumps(content))
    ran = command("run", old, image_folder)
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert f"{path}: not a valid manifest: " in ran.errors[0]
    assert "threshold: expected a probability" in ran.errors[0]


@pytest.mark.compiler
def test_its_blob_runs_and_is_verified(
    small_blob_bundle: Path, copied: Copied, photographs: dict[str, NDArray[np.uint8]]
) -> None:
    old = earlier(copied(small_blob_bundle))
    with (
        oakpoint.load(small_blob_bundle, backend="myriad_simulator") as now,
        oakpoint.load(old, backend="myriad_simulator") as then,
    ):
        assert_same(then(photographs["camera"]), now(photographs["camera"]))
    reports = verify_bundle(open_bundle(old), {"camera": photographs["camera"]}, None)
    assert {report.stage: report.verdict for report in reports} == dict.fromkeys(
        (ONNX_STAGE, IR_STAGE, DEVICE_STAGE, BLOB_STAGE), Verdict.PASS
    )
    for stand_in in ("openvino", "myriad_simulator"):
        model, backend = open_stand_in(old, stand_in)
        with backend:
            assert model.interface.image.size == (160, 120)
            assert {spec.name for spec in model.outputs} == {"semi", "desc"}
