"""``oakpoint eval`` from the command line to its files."""

from __future__ import annotations

import csv
import io
import json
import re

import cv2
import numpy as np
import pytest

from oakpoint.evaluate.synthetic import SyntheticOptions, synthetic_sequence


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OAKPOINT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def two_sequences(photographs, made_once):
    """Two sequences of two pairs each in HPatches' layout."""

    def write(folder):
        options = SyntheticOptions(views=2, turn_deg=10.0, largest_view=(320, 240))
        for name in ("camera", "coffee"):
            made = synthetic_sequence(name, photographs[name], options)
            (folder / f"v_{name}").mkdir(parents=True)
            views = [other.read() for other in made.others]
            for number, image in enumerate((made.first.read(), *(view.image for view in views)), start=1):
                assert cv2.imwrite(str(folder / f"v_{name}" / f"{number}.png"), image)
            for number, view in enumerate(views, start=2):
                np.savetxt(folder / f"v_{name}" / f"H_1_{number}", view.other_from_first)

    return made_once("two-sequences", write)


def figures(facts, protocol, extractor):
    return {k: v["value"] for k, v in facts["protocols"][protocol]["extractors"][extractor]["figures"].items()}


def test_the_same_command_gives_the_same_figures_twice(command, two_sequences):
    arguments = ("eval", "sift", "orb", "--dataset", two_sequences, "--json")
    first, second = command(*arguments), command(*arguments)
    assert first.code == 0
    assert first.out == second.out  # the times, too: they come from the cache
    facts = json.loads(first.out)
    assert facts["protocols"]["p1"]["pairs"] == 4
    assert figures(facts, "p3", "sift")["mma_3px"] > 0.5
    anew = json.loads(command(*arguments, "--no-cache").out)
    for protocol in ("p1", "p2", "p3"):
        a, b = (figures(one, protocol, "sift") for one in (facts, anew))
        assert {k: v for k, v in a.items() if k != "time_ms"} == {k: v for k, v in b.items() if k != "time_ms"}


def test_tables_csv_and_report(command, two_sequences, tmp_path):
    report, csv_file = tmp_path / "report", tmp_path / "figures.csv"
    ran = command(
        "eval", "a=sift", "orb", "--dataset", two_sequences, "--report", report, "--csv", csv_file, "--reading", "exact"
    )
    assert ran.code == 0, ran.err
    assert "P1 repeatability" in ran.out
    assert "orb − a" in ran.out
    assert "exact reading, 4 pairs of 2 sequences" in ran.out
    assert "95 % bootstrap interval over sequences" in ran.out
    assert "the first image of each size is run once before it counts" in ran.out
    assert re.search(r"320×240: [0-9.]+ ms \([0-9.]+ to [0-9.]+, 6 images\)", ran.out)
    assert "note: intervals over 2 sequences are too narrow" in ran.err
    page = (report / "report.html").read_text()
    assert "95 % intervals over sequences" in page
    assert "intervals over 2 sequences are too narrow" in page
    assert "The first image of each size is run once before it counts" in page
    rows = list(csv.DictReader(io.StringIO(csv_file.read_text())))
    assert {row["extractor"] for row in rows} == {"a", "orb"}
    assert {row["less"] for row in rows} == {"", "a"}
    for name in ("evaluation.json", "summary.csv", "pairs.csv", "report.html"):
        assert (report / name).stat().st_size > 100
    for name in ("accuracy_time.png", "sequences_p1.png", "sequences_p2.png", "sequences_p3.png"):
        assert min(cv2.imread(str(report / name)).shape[:2]) > 300
    assert len(list((report / "worst" / "1_a").glob("*.png"))) == 4  # there are only four pairs
    pairs = list(csv.DictReader(io.StringIO((report / "pairs.csv").read_text())))
    assert {row["second"] for row in pairs if row["sequence"] == "v_camera"} == {"v_camera/2.png", "v_camera/3.png"}
    again = command("eval", "sift", "--dataset", two_sequences, "--report", report)
    assert again.code == 0  # an earlier report is replaced
    assert not (report / "worst" / "2_orb").exists()
    (report / "worst" / "notes.txt").touch()
    again = command("eval", "sift", "--dataset", two_sequences, "--report", report)
    assert (again.code, again.out) == (1, "")
    assert "worst/notes.txt is not part of an evaluation's report there and would be lost" in again.err


def test_a_report_does_not_replace_other_things(command, two_sequences, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    ran = command("eval", "sift", "--dataset", two_sequences, "--report", tmp_path / "mine")
    assert ran.code == 1
    assert "holds thesis.tex, and is not an evaluation's report that oakpoint made; choose another --report" in ran.err
    assert (tmp_path / "mine" / "thesis.tex").exists()
    (tmp_path / "mine" / "evaluation.json").write_text("{}")
    ran = command("eval", "sift", "--dataset", two_sequences, "--report", tmp_path / "mine")
    assert (ran.code, ran.out) == (1, "")
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_bundle_beside_itself_at_another_size_and_on_another_runtime(command, small_bundle, two_sequences):
    specs = [f"b={small_bundle}", f"s={small_bundle}@160x120", f"o={small_bundle}@onnxruntime"]
    ran = command("eval", *specs, "--dataset", two_sequences, "--json", "--protocols", "p1,p2")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert facts["notices"]["b"] == "RANDOM WEIGHTS"
    assert "160×120" in facts["notes"]["s"]
    b, s, o = (figures(facts, "p2", label) for label in "bso")
    assert b["keypoints"] > s["keypoints"]
    assert b["keypoints"] == pytest.approx(o["keypoints"], rel=0.02)
    assert facts["protocols"]["p2"]["extractors"]["o"]["runtimes"][0].startswith("onnxruntime")


@pytest.mark.compiler
def test_a_blob_runs_at_its_own_size(command, small_blob_bundle, two_sequences):
    specs = [f"host={small_blob_bundle}@160x120", f"blob={small_blob_bundle}@myriad_simulator"]
    ran = command("eval", *specs, "--dataset", two_sequences, "--json", "--protocols", "p1")
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)
    assert "160×120, the blob's size; the time is the simulator's" in facts["notes"]["blob"]
    host, blob = (figures(facts, "p1", label) for label in ("host", "blob"))
    assert blob["repeatability"] == pytest.approx(host["repeatability"], abs=0.05)
    assert blob["keypoints"] == pytest.approx(host["keypoints"], rel=0.05)


def test_a_features_file_gives_the_figures_of_the_network_that_wrote_it(command, small_bundle, two_sequences, tmp_path):
    out = tmp_path / "features.h5"
    assert command("extract", small_bundle, two_sequences, "--out", out, "--size", "native").code == 0
    ran = command("eval", f"b={small_bundle}", f"f={out}", "--dataset", two_sequences, "--json", "--protocols", "p3")
    assert ran.code == 0, ran.err
    network, file = (figures(json.loads(ran.out), "p3", label) for label in "bf")
    assert file.pop("time_ms") is None
    assert network.pop("time_ms") > 0
    assert network == file


def test_a_malformed_sequence_is_told_and_counted(command, two_sequences, tmp_path):
    import shutil

    folder = tmp_path / "set"
    shutil.copytree(two_sequences, folder)
    (folder / "v_coffee" / "3.png").unlink()
    (folder / "v_camera" / "2.png").write_bytes((folder / "v_camera" / "2.png").read_bytes()[:200])
    ran = command("eval", "sift", "--dataset", folder)
    assert ran.code == 1
    assert "not one sequence" in ran.err
    shutil.copytree(two_sequences / "v_camera", folder / "whole")
    ran = command("eval", "sift", "--dataset", folder, "--json")
    assert ran.code == 0
    assert "H_1_3 has no image 3" in ran.err
    assert "2 sequences skipped" in ran.err
    facts = json.loads(ran.out)
    assert facts["skipped_count"] == 2
    assert facts["protocols"]["p1"]["sequences"] == 1


def test_no_dataset_at_all(command, image_folder):
    ran = command("eval", "sift", "--photographs", image_folder, "--views", "2", "--protocols", "p3", "--json")
    facts = json.loads(ran.out)
    assert facts["protocols"]["p3"]["pairs"] == 4
    assert facts["dataset"].startswith("synthetic")
    other = command(
        "eval", "sift", "--photographs", image_folder, "--views", "2", "--protocols", "p3", "--json", "--seed", "1"
    )
    assert figures(json.loads(other.out), "p3", "sift") != figures(facts, "p3", "sift")


def test_differences_are_to_the_baseline(command, two_sequences):
    ran = command(
        "eval", "sift", "orb", "a=orb", "--dataset", two_sequences, "--baseline", "orb", "--protocols", "p3", "--json"
    )
    assert ran.code == 0, ran.err
    facts = json.loads(ran.out)["protocols"]["p3"]
    assert [(one["of"], one["to"]) for one in facts["differences"]] == [("sift", "orb"), ("a", "orb")]
    assert facts["differences"][1]["figures"]["mma_3px"] == {
        "unit": "", "value": 0.0, "low": 0.0, "high": 0.0, "pairs": 4, "sequences": 2,
    }  # fmt: skip
    times = facts["extractors"]["sift"]["times"]
    assert sum(time["images"] for time in times) == 6
    assert all(time["lower_ms"] <= time["median_ms"] <= time["upper_ms"] for time in times)


def test_a_full_cache_is_told(command, two_sequences):
    ran = command("eval", "orb", "--dataset", two_sequences, "--protocols", "p1", "--max-cache", "0.0001")
    assert ran.code == 0, ran.err
    assert "extractions not kept for the next time, to keep" in ran.err
    assert "within 0.0001 GB (--max-cache)" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "expected one of acorn, superpoint"),
        (["sift", "sift"], "given twice"),
        (["sift@640x480"], "takes no settings"),
        (["b@fast"], "expected WIDTHxHEIGHT"),
        (["sift", "--protocols", "p9"], "p1, p2, p3"),
        (["sift", "--reading", "x"], "published, exact"),
        (["sift", "--dataset", "/nonexistent"], "no such folder"),
        (["sift", "--dataset", ".", "--photographs", "."], "got both"),
        (["sift", "--resamples", "3"], "100 or more"),
        (["sift", "--baseline", "orb"], "expected the label of an extractor (sift), got 'orb'"),
        (["sift", "--max-cache", "0"], "expected a positive number of GB"),
        (["missing.h5"], "no such features file"),
    ],
)
def test_a_mistake_is_one_line(command, arguments, message):
    ran = command("eval", *arguments)
    assert ran.code == 1
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
