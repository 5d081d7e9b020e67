"""The reports of commands, from the command line to the page: it says what manifest and verdicts say."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import onnx
import pytest

from oakpoint.bundle.folder import open_bundle
from oakpoint.bundle.manifest import PAGE_FILE
from oakpoint.files import sha256_of_file
from oakpoint.report.parts.page import LIMIT_BYTES

Command = Callable[..., Any]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, made_once: Any, image_folder: Path) -> Path:
    """acorn's bundle without a blob, as ``oakpoint convert`` makes it."""
    from typer.testing import CliRunner

    from oakpoint.cli.main import app

    def write(folder: Path) -> None:
        arguments = ["convert", "acorn", "--size", "160x120", "--to", "ir", "--images", str(image_folder)]
        ran = CliRunner().invoke(app, [*arguments, "--out", str(folder)])
        assert ran.exit_code == 0, ran.output

    return made_once("acorn-told", write)


def page_of(folder: Path) -> str:
    text = (folder / PAGE_FILE).read_text(encoding="utf-8")
    assert len(text.encode()) <= LIMIT_BYTES
    assert "<script" not in text.lower()
    return text


def words_of(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


def test_a_conversion_tells_what_its_manifest_says(told: Path) -> None:
    manifest, words = open_bundle(told).manifest, words_of(page_of(told))
    assert manifest.files[PAGE_FILE] == sha256_of_file(told / PAGE_FILE)
    for artifact in manifest.artifacts:
        for name, sha256 in artifact.files.items():
            assert name in words
            assert sha256 in words
        assert artifact.tool in words
    assert manifest.weights.sha256 is not None
    for fact in (manifest.weights.licence, manifest.weights.origin, manifest.weights.sha256, "160×120 px", "PASS"):
        assert fact in words
    for report in json.loads((told / "report.json").read_text()):
        assert report["stage"] in words
        assert report["summary"] in words
        for check in report["checks"]:
            assert check["name"] in words
            assert f"{check['value']:.6g}" in words
    assert "There is no blob" in words


def test_the_picture_has_what_every_form_found(told: Path) -> None:
    text = page_of(told)
    for form in ("PyTorch", "ONNX", "IR"):
        assert re.search(rf"<span>{form}<small>\d+ keypoints</small>", text), form
    dots = re.findall(r'<path class="mark found" d="([^"]+)"', text)
    assert len(dots) == 3
    counts = [int(count) for count in re.findall(r"<small>(\d+) keypoints</small>", text)]
    assert [path.count("M") for path in dots] == counts
    assert "1 − descriptor cosine" in text


def test_a_bundle_with_a_report_is_converted_into_again_and_verified(
    command: Command, told: Path, copied: Callable[[Path], Path], image_folder: Path
) -> None:
    bundle = copied(told)
    arguments = ("--to", "onnx", "--size", "160x120", "--images", image_folder)
    again = command("convert", "acorn", *arguments, "--out", bundle)
    assert again.code == 0, again.err
    assert "report.html" in again.out
    (bundle / PAGE_FILE).write_text("altered")
    ran = command("verify", bundle)
    assert ran.code == 1
    assert "report.html: altered since the conversion" in ran.err
    again = command("convert", "acorn", *arguments, "--out", bundle)
    assert again.code == 0, again.err  # what was altered is the bundle's, and is made anew


def test_a_bundle_without_a_report_still_opens_and_gets_one_elsewhere(
    command: Command, small_bundle: Path, image_folder: Path, tmp_path: Path
) -> None:
    assert PAGE_FILE not in open_bundle(small_bundle).manifest.files  # made by the library, as before
    ran = command("verify", small_bundle, "--images", image_folder, "--report", tmp_path / "r")
    assert ran.code == 0, ran.err
    assert f"report in {tmp_path / 'r'}" in ran.out
    words = words_of(page_of(tmp_path / "r"))
    facts = json.loads((tmp_path / "r" / "verification.json").read_text())
    assert [stage["stage"] for stage in facts["stages"]] == ["torch → onnx", "onnx → ir"]
    for stage in facts["stages"]:
        assert stage["summary"] in words
    assert "RANDOM WEIGHTS" in words
    (tmp_path / "r" / "mine.txt").touch()
    refused = command("verify", small_bundle, "--images", image_folder, "--report", tmp_path / "r")
    assert refused.code == 1
    assert "mine.txt is not part of a verification's report there" in refused.err


def test_a_conversion_that_fails_says_in_its_report_what_is_missing_and_why(
    command: Command, image_folder: Path, tmp_path: Path
) -> None:
    network = "small_network:RefusedNetwork"
    arguments = ("--random", "--size", "160x120", "--images", image_folder, "--out", tmp_path / "b")
    ran = command("convert", network, *arguments)
    assert ran.code == 1
    manifest, words = open_bundle(tmp_path / "b").manifest, words_of(page_of(tmp_path / "b"))
    assert manifest.failure is not None
    assert manifest.failure in words
    assert "FAIL" in words
    for reason in manifest.not_made.values():
        assert reason in words


@pytest.mark.parametrize("name", [PAGE_FILE, "report.json", "manifest.json"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    command: Command, small_onnx: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_text = Path.write_text

    def full(path: Path, *arguments: Any, **options: Any) -> int:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    ran = command("convert", small_onnx, "--to", "onnx", "--images", image_folder, "--out", tmp_path / "b")
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == f"error: {name}: cannot be written (No space left on device)"
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("before", [True, False], ids=["a bundle", "nothing"])
def test_ctrl_c_while_the_report_is_made_leaves_what_was_there(
    command: Command,
    small_bundle: Path,
    copied: Callable[[Path], Path],
    small_onnx: Path,
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ctrl_c: Callable[[], None],
    before: bool,
) -> None:
    place = copied(small_bundle) if before else tmp_path / "b"
    held = {path: sha256_of_file(path) for path in tmp_path.rglob("*") if path.is_file()}

    def pressed(*_: Any, **__: Any) -> str:
        ctrl_c()
        raise AssertionError("Ctrl-C did not end it")

    monkeypatch.setattr("oakpoint.cli.convert.conversion_page", pressed)
    ran = command("convert", small_onnx, "--to", "onnx", "--images", image_folder, "--out", place)
    assert ran.code == 130
    assert {path: sha256_of_file(path) for path in tmp_path.rglob("*") if path.is_file()} == held


EVIL = "<script>alert(1)</script>"


@pytest.fixture
def evil_onnx(tmp_path: Path) -> Path:
    """A network whose layer and output bear a name that is markup."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32)}
    model = graphs.graph("y = Conv (x, w)", inputs="float[1, 3, 32, 48] x", weights=weights)
    model.graph.node[0].name, model.graph.node[0].output[0] = EVIL, EVIL
    model.graph.output[0].name = EVIL
    path = tmp_path / "a&b<i>.onnx"
    onnx.save(model, path)
    return path


def test_names_in_files_are_words_and_never_markup(
    command: Command, evil_onnx: Path, image_folder: Path, tmp_path: Path
) -> None:
    arguments = (evil_onnx, "--task", "tensors", "--images", image_folder)
    ran = command("convert", *arguments, "--to", "ir", "--out", tmp_path / "b")
    assert ran.code == 0, ran.err
    text = page_of(tmp_path / "b")
    assert f"root mean square error of {EVIL}" in unescape(text)
    assert "a&amp;b&lt;i&gt;.onnx" in text
    debugged = command("debug", tmp_path / "b", "--image", image_folder, "--report", tmp_path / "d")
    assert debugged.code == 0, debugged.err
    assert EVIL in unescape(page_of(tmp_path / "d"))


@pytest.mark.parametrize("target", ["openvino", "onnx"])
def test_a_check_tells_of_every_layer(
    command: Command, small_onnx: Path, image_folder: Path, tmp_path: Path, target: str
) -> None:
    report = tmp_path / "r"
    ran = command("check", small_onnx, "--target", target, "--images", image_folder, "--report", report, "--json")
    assert ran.code == 0, ran.err
    facts, words = json.loads((report / "check.json").read_text()), words_of(page_of(report))
    assert facts == json.loads(ran.out)
    for layer in facts["layers"]:
        assert layer["layer"]["module"] or layer["layer"]["name"] in words
    assert f"All {len(facts['layers'])} layers are taken by {target}" in words


def test_a_report_is_refused_before_any_work(command: Command, small_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    ran = command("check", small_onnx, "--report", tmp_path / "mine")
    assert "holds thesis.tex, and is not a check's report that oakpoint made; choose another --report" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("heads", ["dense", "packed"])
def test_a_blob_is_told_with_its_time_its_ranges_and_what_it_finds(
    command: Command, heads: str, image_folder: Path, tmp_path: Path
) -> None:
    arguments = ("convert", "acorn", "--size", "160x120", "--heads", heads, "--images", image_folder)
    ran = command(*arguments, "--out", tmp_path / "b")
    assert ran.code == 0, ran.err
    text = page_of(tmp_path / "b")
    words, manifest = words_of(text), open_bundle(tmp_path / "b").manifest
    assert re.search(r"<span>executed blob<small>\d+ keypoints</small>", text)
    assert (
        "Estimated time by layer, in the order of execution encoder" not in words
    )  # the conversion of inputs is first
    assert "encoder.0.0" in words
    assert "where FP16 ends" in words
    for applied in manifest.device.rewrites:
        assert applied.rewrite in words


@pytest.fixture(scope="session")
def task_bundles(task_onnx: Callable[[str], Path], made_once: Any, image_folder: Path) -> Callable[[str], Path]:
    from typer.testing import CliRunner

    from oakpoint.cli.main import app

    def write(name: str, folder: Path) -> None:
        arguments = ["convert", str(task_onnx(name)), "--to", "ir", "--images", str(image_folder)]
        ran = CliRunner().invoke(app, [*arguments, "--out", str(folder)])
        assert ran.exit_code == 0, ran.output

    return lambda name: made_once(f"{name}-told", lambda folder: write(name, folder))


@pytest.mark.parametrize(
    ("network", "pattern"),
    [
        ("ChannelsFirstDetector", r'<rect class="mark found" x='),
        ("SmallUNet", r'<image class="mark found" width="\d+" height="\d+" href="data:image/png'),
        ("SmallClassifier", r"class \d: \d+\.\d\d%"),
    ],
)
def test_other_tasks_show_what_they_find(task_bundles: Callable[[str], Path], network: str, pattern: str) -> None:
    assert re.search(pattern, page_of(task_bundles(network)))
