from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oakpoint.bundle.interface import Input, Interface, TensorSpec
from oakpoint.bundle.manifest import SCHEMA_VERSION, Manifest, manifest_json, read_manifest, report_json
from oakpoint.bundle.records import (
    Applied,
    Artifact,
    Check,
    DeviceRecord,
    SplitRecord,
    StageReport,
    TaskRecord,
    Verdict,
    WeightsRecord,
)
from oakpoint.errors import BundleError
from oakpoint.images.preprocess import Preprocess

PREPROCESS = Preprocess(size=(320, 200), resize="stretch", interpolation="area")
INTERFACE = Interface(
    inputs=(
        Input(tensor=TensorSpec("input", "float32", ("N", 1, 200, 320)), preprocess=PREPROCESS),
        Input(tensor=TensorSpec("state", "int32", (1, 4))),
    ),
    outputs=(TensorSpec("semi", "float32", ("N", 65, 25, 40)),),
)
ONNX = Artifact(
    kind="onnx",
    files={"model.onnx": "ab" * 32},
    interface=INTERFACE,
    parents=("cd" * 32,),
    tool="torch 2",
    command="torch.onnx.export",
)
MANIFEST = Manifest(
    oakpoint_version="0.1.0",
    network="superpoint",
    weights=WeightsRecord(file="w.pth", sha256="cd" * 32, name="unknown", licence="unknown", origin="unknown"),
    task=TaskRecord(name="keypoints", parameters={"decode": {"threshold": 0.015}, "descriptor_dim": 256}),
    interface=INTERFACE,
    device=DeviceRecord(
        heads="normalised",
        measured={"descriptor_scale": 0.125, "descriptor_values": 64},
        shaves=6,
        rewrites=(Applied(rewrite="input scale", layers=("stem",)),),
    ),
    artifacts=(ONNX,),
    verdicts={"torch → onnx": Verdict.PASS, "onnx → blob": Verdict.NOTHING_COMPARED},
    not_made={"blob": "no compiler"},
    files={"report.json": "ef" * 32},
)


def written(tmp_path: Path, change: Callable[[dict[str, Any]], object] = lambda content: None) -> Path:
    content = json.loads(manifest_json(MANIFEST))
    change(content)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    return path


def test_round_trip(tmp_path: Path) -> None:
    assert read_manifest(written(tmp_path)) == MANIFEST
    assert manifest_json(read_manifest(written(tmp_path))) == manifest_json(MANIFEST)


def test_a_cut_stands_in_it_and_nothing_does_where_there_is_none(tmp_path: Path) -> None:
    """Programs from before there were cuts read the bundles that have none, and refuse the others."""
    assert "split" not in json.loads(manifest_json(MANIFEST))
    split = SplitRecord(
        asked=("auto",),
        crossing=("desc",),
        finished=("semi",),
        device_layers=9,
        host_layers=2,
        refused={"sine": "no kernel"},
        usb_bytes=12_000,
        device_ms=1.25,
        host_ms=0.02,
        notes=("a note",),
    )
    cut = replace(MANIFEST, split=split)
    (tmp_path / "m.json").write_text(manifest_json(cut))
    assert read_manifest(tmp_path / "m.json") == cut
    assert split.price() == (
        "device about 1.2 ms (estimated), 12,000 bytes a frame over USB, host under 0.1 ms (measured here, onnxruntime)"
    )


def test_the_hosts_preprocessing_is_that_of_the_interface() -> None:
    assert MANIFEST.preprocess == PREPROCESS


def test_why_a_conversion_failed_stands_in_its_manifest(tmp_path: Path) -> None:
    failed = replace(MANIFEST, failure="refused")
    (tmp_path / "manifest.json").write_text(manifest_json(failed))
    assert read_manifest(tmp_path / "manifest.json") == failed


@pytest.mark.parametrize(
    "place",
    [
        (),
        ("weights",),
        ("task",),
        ("interface",),
        ("interface", "inputs", 0),
        ("interface", "inputs", 0, "tensor"),
        ("interface", "inputs", 0, "preprocess"),
        ("interface", "outputs", 0),
        ("device",),
        ("device", "rewrites", 0),
        ("artifacts", 0),
        ("artifacts", 0, "interface", "inputs", 1, "tensor"),
    ],
    ids=lambda place: ".".join(map(str, place)) or "manifest",
)
def test_a_key_too_many_is_refused(tmp_path: Path, place: tuple[Any, ...]) -> None:
    def add(content: Any) -> None:
        for key in place:
            content = content[key]
        content["surprise"] = 1

    with pytest.raises(BundleError, match=r"manifest\.json: not a valid manifest: .*surprise: "):
        read_manifest(written(tmp_path, add))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c.pop("network"), "network: "),
        (lambda c: c["task"].pop("parameters"), "task.parameters: "),
        (lambda c: c["device"].update(heads=3), "device.heads: "),
        (lambda c: c["device"]["measured"].update(descriptor_scale="large"), "device.measured.descriptor_scale"),
        (lambda c: c["device"].update(shaves="all"), "device.shaves: "),
        (lambda c: c["interface"].pop("inputs"), "interface.inputs: "),
        (lambda c: c["interface"]["inputs"][0]["tensor"].update(shape=[1, [2]]), "tensor.shape"),
        (lambda c: c["verdicts"].update({"onnx → ir": "maybe"}), "verdicts"),
        (lambda c: c["interface"]["inputs"][0]["preprocess"].update(size=[0, 200]), "size: expected a positive number"),
        (lambda c: c["interface"]["inputs"][0]["preprocess"].update(resize="squeeze"), "resize: "),
        (lambda c: c["artifacts"][0].update(files={}), "files: "),
        (lambda c: c["artifacts"][0].update(kind="tflite"), "artifacts.0.kind: "),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: Callable[[dict[str, Any]], object], problem: str) -> None:
    with pytest.raises(BundleError, match=f"not a valid manifest: .*{problem}"):
        read_manifest(written(tmp_path, change))


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_another_schema_version(tmp_path: Path, version: int) -> None:
    path = written(tmp_path, lambda content: content.update(schema_version=version))
    with pytest.raises(BundleError, match=f"expected schema version {SCHEMA_VERSION} or 1, got {version}; convert ag"):
        read_manifest(path)


@pytest.mark.parametrize("version", ["2", "3", "new", 2.5, None, [2]])
def test_a_schema_version_that_is_no_number(tmp_path: Path, version: object) -> None:
    path = written(tmp_path, lambda content: content.update(schema_version=version))
    with pytest.raises(BundleError, match="not a valid manifest: schema_version: "):
        read_manifest(path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'])
def test_no_json_or_none_of_ours(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(text)
    with pytest.raises(BundleError, match=r"manifest\.json: not a valid manifest: ."):
        read_manifest(path)


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(tmp_path / "manifest.json")


def test_artifacts_by_kind() -> None:
    assert MANIFEST.artifact("onnx") is ONNX
    assert ONNX.main_file == "model.onnx"
    assert MANIFEST.has("onnx")
    assert not MANIFEST.has("ir")
    with pytest.raises(BundleError, match=r"no blob \(no compiler\); it has onnx"):
        MANIFEST.artifact("blob")
    with pytest.raises(BundleError, match=r"no ir \(it was converted without that stage; convert again with --to ir\)"):
        MANIFEST.artifact("ir")


def test_hashes_of_all_files_but_the_manifest() -> None:
    assert MANIFEST.hashes() == {"model.onnx": "ab" * 32, "report.json": "ef" * 32}


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_has_no_truth_value(verdict: Verdict) -> None:
    with pytest.raises(TypeError, match="no truth value"):
        bool(verdict)
    assert verdict == Verdict(verdict.value)


def test_a_report_with_figures_that_could_not_be_measured_is_json() -> None:
    check = Check(name="a", value=float("nan"), limit=1.0, kind="at_least", passed=False)
    report = StageReport(stage="x", verdict=Verdict.FAIL, summary="s", checks=(check,), figures={"b": float("inf")})
    for reports in ((report,), (replace(report, figures=None),)):
        read = json.loads(report_json(reports), parse_constant=pytest.fail)
        assert read[0]["verdict"] == "fail"
        assert read[0]["checks"][0]["value"] is None
