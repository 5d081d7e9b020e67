"""``oakpoint tune`` from the command line to the bundle that its command builds."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from oakpoint.tune.study import FACTS_FILE, PICTURE_FILE

pytest.importorskip("optuna")

SIZES = ("--size", "128x96", "--size", "160x120")
FEW = ("--views", "2", "--fix", "threads=1", "--fix", "nms_radius_px=4", "--fix", "threshold=0.02")


@pytest.fixture(scope="session")
def two_photographs(photographs, made_once):
    """A folder of two photographs of 320×240."""

    def write(folder):
        folder.mkdir(parents=True)
        for name in ("camera", "coffee"):
            cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(photographs[name], (320, 240)))

    return made_once("two-photographs", write)


@pytest.fixture(scope="session")
def acorn_onnx(made_once):
    """acorn as an ONNX file of open size."""
    from oakpoint.convert.onnx_from_torch import export_onnx
    from oakpoint.models.naming import model_of

    def write(path):
        origin = model_of("acorn").origin((160, 120))
        export_onnx(origin.network.module, path, inputs=origin.interface.tensors, outputs=origin.outputs)

    return made_once("acorn-tune.onnx", write)


def tuned(command, model, images, folder, *options):
    ran = command("tune", model, "--images", images, "--out", folder, "--json", *options)
    return ran, json.loads(ran.out) if ran.out else None


def figure(trial, name):
    return trial[name]["value"]


def test_a_search_on_this_machine_and_the_command_that_it_prints(
    command, acorn_onnx, two_photographs, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = (*SIZES, *FEW, "--fix", "subpixel=none,soft_argmax", "--fix", "max_keypoints=256", "--seed", "3")
    ran, facts = tuned(command, acorn_onnx, two_photographs, "s", *options, "--min-accuracy", "0.01", "--report", "r")
    assert ran.code == 0, ran.err
    assert facts["configurations"] == len(facts["trials"]) == 4
    assert facts["accuracy"]["figure"] == "AUC 5 px (P2)"
    assert all(0 <= figure(trial, "accuracy") <= 1 and figure(trial, "time_ms") > 0 for trial in facts["trials"])
    assert all(trial["accuracy"]["low"] <= figure(trial, "accuracy") for trial in facts["trials"])
    assert all(trial["memory_mb"] > 0 for trial in facts["trials"])
    assert {trial["configuration"]["size"] for trial in facts["trials"]} == {"128x96", "160x120"}
    rates = [figure(facts["trials"][number - 1], "rate_fps") for number in facts["frontier"]]
    assert rates == sorted(rates)
    assert facts["chosen"] in [trial["number"] for trial in facts["trials"]]
    assert 0 <= facts["fresh_accuracy"]["value"] <= 1
    for place in (tmp_path / "s", tmp_path / "r"):
        assert json.loads((place / FACTS_FILE).read_text()) == facts
        assert min(cv2.imread(str(place / PICTURE_FILE)).shape[:2]) > 300
    page = (tmp_path / "r" / "report.html").read_text()
    assert f"Point {facts['chosen']}" in page
    convert, run = map(shlex.split, facts["commands"])
    built = command(*convert[1:])
    assert built.code == 0, built.err
    shown = command(*(str(two_photographs) if word == "SOURCE" else word for word in run[1:]), "--json")
    assert shown.code == 0, shown.err
    found = json.loads(shown.out)["results"]
    assert len(found) == 2
    assert all(0 < len(one["keypoints"]) <= 256 for one in found)


def test_the_figure_is_that_of_eval(command, acorn_onnx, two_photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("OAKPOINT_CACHE", str(tmp_path / "cache"))
    options = ("--size", "128x96", "--figure", "mma_3px", "--fix", "max_keypoints=2000", "--fix", "subpixel=none", *FEW)
    _, facts = tuned(command, acorn_onnx, two_photographs, tmp_path / "s", *options)
    (trial,) = facts["trials"]
    ran = command(
        "eval", f"m={acorn_onnx}@128x96@threshold=0.02@nms=4@subpixel=none",
        "--photographs", two_photographs, "--views", 2, "--protocols", "p3", "--json",
    )  # fmt: skip
    found = json.loads(ran.out)["protocols"]["p3"]["extractors"]["m"]["figures"]["mma_3px"]
    assert figure(trial, "accuracy") == pytest.approx(found["value"], abs=1e-6)
    assert trial["accuracy"]["low"] == pytest.approx(found["low"], abs=1e-6)


def test_a_wish_that_no_point_meets(command, acorn_onnx, two_photographs, tmp_path):
    options = (*SIZES, *FEW, "--fix", "subpixel=none", "--fix", "max_keypoints=64")
    ran, facts = tuned(command, acorn_onnx, two_photographs, tmp_path / "s", *options, "--min-fps", "1000000")
    assert ran.code == 1
    assert len(ran.errors) >= 1
    assert f"no point has 1e+06 frames/s or more; the nearest is point {facts['nearest']}:" in ran.errors[-1]
    assert (facts["chosen"], facts["commands"]) == (None, [])
    again, _ = tuned(command, acorn_onnx, two_photographs, tmp_path / "s", *options, "--min-fps", "0.001")
    assert again.code == 0  # another wish of the same study: nothing is measured again
    assert "2 of them kept" in again.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "gpu"), "target: expected one of cpu, oak, got 'gpu'"),
        (("--trials", "0"), "trials: expected 1 or more, got 0"),
        (("--minutes", "0"), "minutes: expected more than 0, got 0"),
        (("--min-accuracy", "1.5"), "min-accuracy: expected more than 0 and at most 1, got 1.5"),
        (("--min-fps", "0"), "min-fps: expected more than 0 frames a second, got 0"),
        (("--min-fps", "5", "--knee"), "knee: is for a search without"),
        (("--size", "320"), "size: expected WIDTHxHEIGHT"),
        (("--size", "100x100"), "multiples of 8"),
        (("--size", "64x64", "--min-side", "64"), "got both"),
        (("--min-side", "400", "--max-side", "300"), "at most --max-side"),
        (("--fix", "heads=packed"), "NAME one of size, precision, threads, max_keypoints"),
        (("--fix", "precision=f16x"), "precision: expected one of"),
        (("--max-images", "0"), "max-images: expected 1 or more, got 0"),
        (("--views", "0"), "views: expected 1 or more"),
        (("--seed", "-1"), "seed: expected 0 or more, got -1"),
    ],
)
def test_options_that_cannot_be_meant(command, acorn_onnx, two_photographs, tmp_path, options, message):
    ran = command("tune", acorn_onnx, "--images", two_photographs, "--out", tmp_path / "s", *options)
    assert (ran.code, ran.out) == (1, "")
    assert len(ran.errors) == 1
    assert message in ran.errors[0]
    assert not (tmp_path / "s").exists()


def test_models_and_folders_that_cannot_be_used(command, acorn_onnx, two_photographs, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for model, images, folder, message in (
        ("x.blob", two_photographs, "s", "a blob is compiled for one size"),
        ("no-such", two_photographs, "s", "no-such"),
        (acorn_onnx, tmp_path / "empty", "s", "no image"),
        (acorn_onnx, tmp_path / "nowhere", "s", "nowhere"),
        (acorn_onnx, two_photographs, "mine", "is not a study that oakpoint made"),
    ):
        ran = command("tune", model, "--images", images, "--out", tmp_path / folder, *SIZES)
        assert (ran.code, ran.out) == (1, ""), message
        assert message in ran.errors[-1]
    assert not (tmp_path / "s").exists()


def test_a_missing_extra_is_named_first(command, acorn_onnx, two_photographs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    ran = command("tune", acorn_onnx, "--images", two_photographs, "--out", tmp_path / "s")
    assert (ran.code, len(ran.errors)) == (1, 1)
    assert "pip install 'oakpoint[tune]'" in ran.errors[0]


def started(acorn_onnx, images, folder, *options) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "oakpoint", "tune", acorn_onnx, "--images", images, "--out", folder, *options]
    return subprocess.Popen([*map(str, line)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def after_trials(process, count) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"{count} of "):
            return
    raise AssertionError("it ended before")


MANY = (*SIZES, "--views", "1", "--trials", "200")


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_where_it_was(command, acorn_onnx, two_photographs, tmp_path):
    process = started(acorn_onnx, two_photographs, tmp_path / "s", *MANY)
    after_trials(process, 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    ran, facts = tuned(command, acorn_onnx, two_photographs, tmp_path / "s", *MANY[:-2], "--trials", "5")
    assert ran.code == 0, ran.err
    assert "3 of them kept" in ran.err or "4 of them kept" in ran.err
    assert [trial["number"] for trial in facts["trials"]] == [1, 2, 3, 4, 5]
    _, whole = tuned(command, acorn_onnx, two_photographs, tmp_path / "whole", *MANY[:-2], "--trials", "5")
    asked = [[trial["configuration"] for trial in one["trials"]] for one in (facts, whole)]
    assert asked[0] == asked[1]
    refused, _ = tuned(command, acorn_onnx, two_photographs, tmp_path / "s", *MANY, "--seed", "1")
    assert refused.code == 1
    assert "holds a study with another seed (0, not 1)" in refused.errors[-1]


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done_and_shows_it(acorn_onnx, two_photographs, tmp_path):
    process = started(acorn_onnx, two_photographs, tmp_path / "s", *MANY)
    after_trials(process, 3)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)  # as Ctrl-C, which a process in the background does not hear
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "not told apart from" in out
    assert "the same command goes on" in err
    facts = json.loads((tmp_path / "s" / FACTS_FILE).read_text())
    assert facts["interrupted"] is True
    assert len(facts["trials"]) >= 3


@pytest.mark.compiler
@pytest.mark.slow
def test_a_search_for_the_camera_and_the_command_that_it_prints(
    command, acorn_onnx, two_photographs, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = ("--target", "oak", *SIZES, "--views", "1", "--fix", "heads=packed", "--fix", "shaves=4")
    options += ("--fix", "max_keypoints=128", "--fix", "subpixel=none", "--fix", "threshold=0.02,0.04")
    options += ("--fix", "nms_radius_px=4", "--min-fps", "10")
    ran, facts = tuned(command, acorn_onnx, two_photographs, "s", *options, "--trials", "4")
    assert ran.code == 0, ran.err
    assert len(facts["trials"]) == 4
    assert not facts["failures"]
    assert len(list((tmp_path / "s" / "blobs").glob("*.blob"))) == 2  # thresholds are the host's
    for trial in facts["trials"]:
        assert trial["time_ms"]["low"] == pytest.approx(0.7 * trial["time_ms"]["value"])
        assert figure(trial, "rate_fps") == pytest.approx(2e3 / figure(trial, "time_ms"))
    larger, smaller = (
        [figure(t, "time_ms") for t in facts["trials"] if t["configuration"]["size"] == size]
        for size in ("160x120", "128x96")
    )
    assert min(larger) > min(smaller)
    convert, run = map(shlex.split, facts["commands"])
    built = command(*convert[1:])
    assert built.code == 0, built.err
    inspected = json.loads(command("inspect", "tuned", "--json").out)
    chosen = facts["trials"][facts["chosen"] - 1]
    assert inspected["estimate"]["total_ms"] == pytest.approx(figure(chosen, "time_ms"))
    assert inspected["shaves"] == chosen["configuration"]["shaves"]
    assert run[:4] == ["oakpoint", "run", "tuned", "oak"]
    shown = command("run", "tuned", two_photographs, "--backend", "myriad_simulator", *run[4:-2], "--json")
    assert shown.code == 0, shown.err
    assert all(0 < len(one["keypoints"]) <= 128 for one in json.loads(shown.out)["results"])


def test_the_device_graph_finds_what_the_network_finds(acorn_onnx, two_photographs, tmp_path):
    from oakpoint import load
    from oakpoint.tune.accuracy import Judge
    from oakpoint.tune.device import OakSubject
    from oakpoint.tune.subject import Tuned
    from oakpoint.verify.photographs import load_photographs

    class Unused(Judge):
        name = basis = ""

        def accuracy(self, predictor):
            raise AssertionError

    images = load_photographs(two_photographs)
    subject = OakSubject(Tuned(model=str(acorn_onnx), images=two_photographs), Unused(), images, tmp_path)
    with subject, load(acorn_onnx, size=(160, 120), threshold=0.03, subpixel="none") as host:
        for heads in ("dense", "packed"):
            device = subject._predictor({"size": "160x120", "heads": heads, "threshold": 0.03, "subpixel": "none"})
            for image in images.values():
                expected, got = host(image), device(image)
                assert len(expected) > 20
                apart = np.linalg.norm(expected.keypoints[:, None] - got.keypoints, axis=2).min(axis=1)
                assert np.mean(apart < 0.01) > 0.95
