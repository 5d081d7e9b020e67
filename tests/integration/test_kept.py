"""A conversion that fails at a later stage keeps what was verified before it, and loses nothing that stood there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oakpoint
from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.records import Verdict
from oakpoint.chain import conversion, make_blob, make_ir
from oakpoint.chain.conversion import attempt, convert
from oakpoint.chain.options import ConversionOptions
from oakpoint.chain.verification import verify_bundle
from oakpoint.convert.blob_from_onnx import CompiledBlob
from oakpoint.errors import BackendError, BundleError, CompilerError, ConversionError, VerificationError
from oakpoint.verify import stages
from oakpoint.verify.photographs import load_photographs
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_STAGE

SIZE = (160, 120)
IR_FILES = {"manifest.json", "report.json", "model.onnx", "model.xml", "model.bin"}
Copied = Callable[[Path], Path]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def options(small_onnx: Path, image_folder: Path) -> Callable[..., ConversionOptions]:
    """From the small network's ONNX, which spares torch's export."""

    def make(**changes: Any) -> ConversionOptions:
        return ConversionOptions(**{"model": str(small_onnx), "size": SIZE, "images": image_folder} | changes)

    return make


Options = Callable[..., ConversionOptions]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler refuses, after it has left half a file."""

    def compile_graph(_: Any, blob: Path, **__: Any) -> Any:
        blob.write_bytes(b"half")
        raise CompilerError(f"{blob}: refused")

    monkeypatch.setattr(make_blob, "compile_graph", compile_graph)
    monkeypatch.setattr(conversion, "ensure_toolchain", lambda: Path("compiler"))


@pytest.fixture
def ir_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    impossible = stages.Tolerance("keypoints compared", "at_least", 1e9, "for this test")
    monkeypatch.setitem(stages.STAGE_TOLERANCES, IR_STAGE, (impossible,))


def test_a_refused_blob_keeps_onnx_and_ir(
    options: Options, refused: None, tmp_path: Path, image_folder: Path, listener: Any, photographs: dict[str, Any]
) -> None:
    with pytest.raises(CompilerError, match=rf"^model.blob: refused; kept in {tmp_path}/b what was verified: onnx, ir"):
        convert(options(), tmp_path / "b", listener)
    assert names_in(tmp_path / "b") == IR_FILES
    bundle = open_bundle(tmp_path / "b")
    manifest = bundle.manifest
    assert manifest.failure == "model.blob: refused"
    assert manifest.verdicts == {IR_STAGE: Verdict.PASS, DEVICE_STAGE: Verdict.PASS}
    assert manifest.not_made == {
        "blob": "model.blob: refused",
        "oak_json": "model.blob: refused",
        "stage_map": "model.blob: refused",
        "archive": "not tried, since the blob could not be made",
    }
    assert manifest.device.shaves is None
    with pytest.raises(BundleError, match=r"no blob \(model.blob: refused\); it has onnx, ir"):
        bundle.path("blob")
    again = verify_bundle(bundle, load_photographs(image_folder), None)
    assert [report.verdict for report in again] == [Verdict.PASS]
    with oakpoint.load(tmp_path / "b") as extractor:
        assert len(extractor(photographs["camera"])) > 20


def test_what_was_judged_and_what_failed_are_told_to_machines(
    options: Options, refused: None, tmp_path: Path, small_onnx: Path, image_folder: Path, command: Callable[..., Any]
) -> None:
    ran = command(
        "convert", small_onnx, "--size", "160x120", "--images", image_folder, "--out", tmp_path / "b", "--json"
    )
    facts = json.loads(ran.out, parse_constant=pytest.fail)
    assert ran.code == 1
    assert facts["bundle"] == str(tmp_path / "b")
    assert set(facts["artifacts"]) == {"onnx", "ir"}
    assert facts["not_made"]["blob"] == "model.blob: refused"
    assert facts["error"].startswith("model.blob: refused; kept in ")
    assert ran.errors[-1] == f"error: {facts['error']}"
    stage = facts["stages"][0]
    assert (stage["stage"], stage["verdict"]) == (IR_STAGE, "pass")
    assert all(np.isfinite(check["value"]) for check in stage["checks"])


def test_a_stage_that_fails_is_left_out_and_told_with_its_figures(
    ir_fails: None, tmp_path: Path, image_folder: Path, command: Callable[..., Any]
) -> None:
    arguments = ["convert", "small_network:SmallNetwork", "--random", "--size", "160x120", "--to", "ir", "--json"]
    ran = command(*arguments, "--images", image_folder, "--out", tmp_path / "b")
    facts = json.loads(ran.out, parse_constant=pytest.fail)
    assert ran.code == 1
    assert set(facts["artifacts"]) == {"onnx"}
    assert facts["not_made"]["ir"].startswith("it failed its verification: keypoints compared")
    assert {stage["stage"]: stage["verdict"] for stage in facts["stages"]} == {ONNX_STAGE: "pass", IR_STAGE: "fail"}
    assert facts["stages"][1]["checks"][0]["limit"] == 1e9
    assert names_in(tmp_path / "b") == {"manifest.json", "report.json", "report.html", "model.onnx"}
    manifest = open_bundle(tmp_path / "b").manifest
    assert manifest.verdicts == {ONNX_STAGE: Verdict.PASS, IR_STAGE: Verdict.FAIL}
    assert manifest.failure is not None


def test_where_nothing_was_verified_nothing_is_kept_and_the_figures_are_told(
    ir_fails: None, options: Options, tmp_path: Path, listener: Any
) -> None:
    outcome = attempt(options(to="ir"), tmp_path / "b", listener)
    assert outcome.conversion is None
    assert isinstance(outcome.failure, VerificationError)
    assert outcome.kept == "; no bundle was written (--keep-failed writes it for inspection)"
    assert [report.verdict for report in outcome.reports] == [Verdict.FAIL]
    assert names_in(tmp_path) == set()


def test_a_first_stage_that_cannot_be_made_keeps_nothing(
    options: Options, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_ir(onnx: Path, *_: Any, **__: Any) -> str:
        raise ConversionError(f"OpenVINO cannot convert {onnx}")

    monkeypatch.setattr(make_ir, "write_ir", write_ir)
    with pytest.raises(ConversionError, match=r"^OpenVINO cannot convert model\.onnx$"):
        convert(options(to="ir"), tmp_path / "b", listener)
    assert names_in(tmp_path) == set()


def test_a_bundle_that_stands_there_is_not_replaced_by_less(
    options: Options, refused: None, small_bundle: Path, copied: Copied, listener: Any
) -> None:
    bundle = copied(small_bundle)
    before = contents(bundle)
    with pytest.raises(
        CompilerError, match=r"no bundle was written: .*copy stays as it was; another --out gets .*ir\)"
    ):
        convert(options(), bundle, listener)
    assert contents(bundle) == before
    assert names_in(bundle.parent) == {bundle.name}


def test_what_a_failed_conversion_left_is_replaced_by_as_much_and_not_by_less(
    options: Options, refused: None, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    attempt(options(), tmp_path / "b", listener)
    assert attempt(options(size=(96, 64)), tmp_path / "b", listener).conversion is not None
    assert open_bundle(tmp_path / "b").manifest.preprocess.size == (96, 64)
    before = contents(tmp_path / "b")
    request.getfixturevalue("ir_fails")
    assert attempt(options(model="small_network:SmallNetwork", seed=0), tmp_path / "b", listener).conversion is None
    assert contents(tmp_path / "b") == before
    assert convert(options(to="onnx"), tmp_path / "b", listener).manifest.failure is None, "a whole one replaces it"


def test_keep_failed_keeps_a_failed_ir_beside_a_refused_blob(
    options: Options, refused: None, ir_fails: None, small_bundle: Path, copied: Copied, listener: Any
) -> None:
    bundle = copied(small_bundle)
    with pytest.raises(CompilerError, match=r"kept in .* what was made: onnx, ir"):
        convert(options(keep_failed=True), bundle, listener)
    manifest = open_bundle(bundle).manifest
    assert manifest.verdicts == {IR_STAGE: Verdict.FAIL, DEVICE_STAGE: Verdict.PASS}
    assert set(manifest.not_made) == {"blob", "oak_json", "stage_map", "archive"}


def test_a_reference_that_cannot_be_run_keeps_what_came_before(
    options: Options, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise BackendError("out of memory")

    def compile_graph(_: Any, blob: Path, **__: Any) -> CompiledBlob:
        blob.write_bytes(b"blob")
        return CompiledBlob(tool="t", inputs=(), outputs=(), rewrites=())

    monkeypatch.setattr(make_blob, "compile_graph", compile_graph)
    monkeypatch.setattr(conversion, "ensure_toolchain", lambda: Path("compiler"))
    monkeypatch.setattr(conversion.StageVerifier, "blob_of_onnx", fail)
    outcome = attempt(options(), tmp_path / "b", listener)
    assert isinstance(outcome.failure, BackendError)
    assert names_in(tmp_path / "b") == IR_FILES


def test_ctrl_c_keeps_nothing(options: Options, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(make_blob, "compile_graph", press)
    monkeypatch.setattr(conversion, "ensure_toolchain", lambda: Path("compiler"))
    with pytest.raises(KeyboardInterrupt):
        convert(options(), tmp_path / "b", listener)
    assert names_in(tmp_path) == set()


@pytest.mark.compiler
def test_a_failed_ir_does_not_take_a_verified_blob_with_it(
    options: Options, ir_fails: None, tmp_path: Path, listener: Any
) -> None:
    with pytest.raises(
        VerificationError, match=f"failed at {IR_STAGE}: .*; kept in .*: onnx, blob, oak_json, stage_map, archive"
    ):
        convert(options(), tmp_path / "b", listener)
    bundle = open_bundle(tmp_path / "b")
    assert bundle.manifest.verdicts == {
        IR_STAGE: Verdict.FAIL,
        DEVICE_STAGE: Verdict.PASS,
        BLOB_STAGE: Verdict.PASS,
    }
    assert set(bundle.manifest.not_made) == {"ir"}
    assert not (tmp_path / "b" / "model.xml").exists()
    assert bundle.manifest.device.shaves == 6
