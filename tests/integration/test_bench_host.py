"""``oakpoint bench`` on this machine, from the command line to the page; no figure of speed is judged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import oakpoint
from oakpoint.bench.host.benchmark import Measuring
from oakpoint.bench.host.contenders import WAYS, Contender
from oakpoint.bench.host.costs import Cost, cost_of
from oakpoint.bench.host.latency import latency_turn
from oakpoint.bench.host.opening import STAGES, Opened, open_contender
from oakpoint.bench.host.subject import Named
from oakpoint.errors import OakpointError
from oakpoint.features.types import Features
from oakpoint.models.base import ModelOptions

Command = Callable[..., Any]
Image = NDArray[np.uint8]

QUICK = ("--rounds", "2", "--threads", "1", "--backends", "openvino,onnxruntime")
OURS = ("tutorial", "onnxruntime f32", "openvino f32")
DECODING = ("openvino f32 numpy", "openvino f32 graph")


@pytest.fixture
def quick_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of a process for each contender, as far as a test is about something else."""
    cost = Cost(load_s=0.1, first_s=0.01, peak_mb=100.0, before_mb=90.0)
    monkeypatch.setattr("oakpoint.cli.bench_host.Measuring", partial(Measuring, cost_of=lambda *_: cost))


def rows_of(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in facts["rows"]}


@pytest.mark.slow
def test_the_whole_command(command: Command, small_bundle: Path, image_folder: Path, tmp_path: Path) -> None:
    arguments = ("bench", small_bundle, *QUICK, "--precisions", "f32", "--images", image_folder)
    ran = command(*arguments, "--report", tmp_path / "r", "--save", tmp_path / "p.png", "--json")
    assert (ran.code, ran.errors) == (0, [])
    facts = json.loads(ran.out, parse_constant=pytest.fail)
    written = json.loads((tmp_path / "r" / "benchmark.json").read_text())
    assert {key: facts[key] for key in written} == written
    rows = rows_of(facts)
    assert tuple(rows) == (*OURS, *DECODING)
    assert (facts["base"], facts["measuring"]["rounds"], facts["network"]["size"]) == ("tutorial", 2, [160, 120])
    for row in rows.values():
        assert len(row["rounds_ms"]) == 2
        assert row["latency_ms"]["median"] > 0
        assert row["cost"]["peak_mb"] > row["cost"]["before_mb"] > 10
        assert row["throughput"]["images_per_s"]["median"] > 0
    assert rows["tutorial"]["throughput"]["in_flight"] == 1
    assert rows["openvino f32"]["found_mean"] == rows["onnxruntime f32"]["found_mean"] > 0
    assert cv2.imread(str(tmp_path / "p.png")) is not None
    assert cv2.imread(str(tmp_path / "r" / "benchmark.png")) is not None
    assert "| openvino f32 | 1 |" in (tmp_path / "r" / "benchmark.md").read_text()
    page = (tmp_path / "r" / "report.html").read_text()
    words = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))
    assert "RANDOM WEIGHTS" in words
    assert "× is to «tutorial» at the same number of threads" in words
    assert "<script" not in page
    assert all(name in words for name in (*OURS, *STAGES))


def test_the_tables_fit_and_what_is_missing_is_said(
    command: Command, quick_costs: None, small_bundle: Path, image_folder: Path
) -> None:
    """On machines with bf16 that is a row, elsewhere a note with its reason; likewise INT8."""
    ran = command("bench", small_bundle, *QUICK, "--images", image_folder, "--streams", "0")
    assert (ran.code, ran.errors) == (0, [])
    assert max(map(len, ran.out.splitlines())) <= 100
    table = [line.split("  ")[0] for line in ran.out.splitlines()]
    for way in (way.name for way in WAYS if way.backend != "torch"):
        assert (table.count(way) == 2) != (f"note: left out: {way}: " in ran.err), way
    assert "base" in ran.out


def test_a_network_for_something_else_has_no_tutorial(
    command: Command, quick_costs: None, task_onnx: Callable[[str], Path], image_folder: Path
) -> None:
    model, arguments = task_onnx("SmallClassifier"), ("--images", image_folder, "--precisions", "f32")
    ran = command("bench", model, *QUICK, *arguments, "--color", "rgb", "--json")
    assert (ran.code, ran.errors) == (0, [])
    facts = json.loads(ran.out)
    assert (facts["base"], facts["network"]["task"]) == ("onnxruntime f32", "classes")
    assert tuple(rows_of(facts)) == OURS[1:]
    assert [item["reason"] for item in facts["left_out"]] == [
        "the network is one for classes; the tutorial's way reads keypoints",
        "the network is one for classes, which is read in NumPy anyway",
        "decoding: a network for classes is read in NumPy; leave --decoding out",
    ]
    assert facts["rows"][0]["found_mean"] is None
    assert "%" in facts["rows"][0]["found_in_first"]
    assert "tutorial" not in command("bench", model, *QUICK, *arguments, "--tutorial", "none").err


def test_a_network_by_name_and_another_one_for_the_tutorial(
    command: Command, quick_costs: None, small_bundle: Path, image_folder: Path
) -> None:
    arguments = ("--images", image_folder, "--precisions", "f32", "--size", "160x120", "--streams", "0")
    ran = command("bench", "acorn", *QUICK, *arguments, "--tutorial", small_bundle, "--json")
    assert (ran.code, ran.errors) == (0, [])
    facts = json.loads(ran.out)
    assert {name: row["model"] for name, row in rows_of(facts).items()} == {
        "tutorial": str(small_bundle), **dict.fromkeys((*OURS[1:], *DECODING), "acorn")
    }  # fmt: skip


@pytest.fixture
def opened(small_bundle: Path, photographs: dict[str, Image]) -> Iterator[Callable[[str], Opened]]:
    """Opens a way of running the small network."""
    all_opened: list[Opened] = []

    def open_way(name: str) -> Opened:
        way = next(way for way in WAYS if way.name == name)
        named = Named(model=str(small_bundle), said=ModelOptions(), size=(160, 120))
        all_opened.append(open_contender(named, Contender(way, 1), photographs["coffee"]))
        return all_opened[-1]

    yield open_way
    for each in all_opened:
        each.close()


def test_the_tutorials_way_finds_what_load_finds(
    opened: Callable[[str], Opened], small_bundle: Path, photographs: dict[str, Image]
) -> None:
    """With the bundle's preset, which is «superpoint»: the same places, scores and descriptors."""
    theirs = opened("tutorial")
    with oakpoint.load(small_bundle, size=(160, 120), threads=1) as extractor:
        for name in ("coffee", "camera"):
            found, expected = theirs.run(photographs[name]), extractor(photographs[name])
            assert isinstance(found, Features)
            mine = {tuple(place): index for index, place in enumerate(found.keypoints.tolist())}
            order = [mine[tuple(place)] for place in expected.keypoints.tolist()]
            assert len(mine) == len(expected) > 20
            np.testing.assert_allclose(found.scores[order], expected.scores, atol=1e-6)
            np.testing.assert_allclose(found.descriptors[order], expected.descriptors, atol=1e-4)
            assert found.image_size == expected.image_size


@pytest.mark.parametrize("name", OURS)
def test_stages_are_told_apart_by_the_clock(
    opened: Callable[[str], Opened], photographs: dict[str, Image], name: str
) -> None:
    ticks = iter((1.0, 3.0, 7.0, 15.0))
    assert opened(name).staged(photographs["coffee"], lambda: next(ticks)) == dict(zip(STAGES, (2, 4, 8), strict=True))


def test_a_process_that_cannot_open_says_why(photographs: dict[str, Image]) -> None:
    named = Named(model="no-such-network", said=ModelOptions(), size=(160, 120))
    answer = cost_of(named, Contender(WAYS[-1], 1), photographs["coffee"])
    assert isinstance(answer, str)
    assert "no-such-network" in answer


def test_ctrl_c_leaves_what_there_is(
    command: Command, quick_costs: None, small_bundle: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Callable[[int], Any]:
        turn = latency_turn(*arguments)

        def run(number: int) -> Any:
            if number == 2:
                raise KeyboardInterrupt
            return turn(number)

        return run

    monkeypatch.setattr("oakpoint.bench.host.benchmark.latency_turn", interrupted)
    arguments = ("--threads", "1", "--backends", "openvino", "--precisions", "f32", "--images", image_folder)
    ran = command("bench", small_bundle, *arguments, "--rounds", "99")
    assert (ran.code, ran.errors) == (130, ["error: interrupted"])
    assert " 2 rounds; " in ran.out
    assert "note: interrupted: fewer rounds than asked for" in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threads", "0"), "--threads: expected numbers of 1 or more such as 1,4, got '0'"),
        (("--threads", "1,x"), "--threads: expected numbers"),
        (("--backends", "tensorrt"), "--backends: expected some of openvino,torch,onnxruntime, got 'tensorrt'"),
        (("--precisions", "int4"), "--precisions: expected some of f32,bf16,f16,int8, got 'int4'"),
        (("--size", "native"), "--size: expected WIDTHxHEIGHT, got native"),
        (("--size", "161x120"), "161"),
        (("--rounds", "0"), "--rounds: expected 1 or more, got 0"),
        (("--streams", "-1"), "--streams: expected 0 or more, got -1"),
        (("--seconds", "0"), "--seconds: expected more than 0, got 0"),
        (("--save", "picture.bmp"), "--save picture.bmp: expected a name that ends in .png or .svg"),
        (("--tutorial-weights", "w.pth"), "--tutorial-weights: counts with --tutorial MODEL only"),
        (("--frames", "9"), "--frames: counts with --device oak or --device replay only"),
        (("--fps", "9"), "--fps: counts with --device oak only"),
        (("--report", "PLACE"), "holds mine.txt, and is not a benchmark's report that oakpoint made"),
        (("--images", "PLACE"), "no image in"),
        (("--against", "magic", *QUICK, "--precisions", "f32"), "--against: expected one of tutorial, onnx"),
    ],
)
def test_mistakes_are_one_line(
    command: Command, small_bundle: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "mine.txt").touch()
    ran = command("bench", small_bundle, *(tmp_path if word == "PLACE" else word for word in words))
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert message in ran.errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_that_is_none_is_one_line(command: Command) -> None:
    ran = command("bench", "no-such-network", *QUICK)
    assert (ran.code, len(ran.errors)) == (1, 1)


@pytest.mark.shared
@pytest.mark.slow
def test_superpoint_in_the_tutorials_way(superpoint_weights: Path, photographs: dict[str, Image]) -> None:
    named = Named(model="superpoint", said=ModelOptions(weights=superpoint_weights), size=(320, 240))
    theirs = open_contender(named, Contender(WAYS[0], 1), photographs["coffee"])
    with oakpoint.load("superpoint", weights=superpoint_weights, size=(320, 240), threads=1) as extractor:
        found, expected = theirs.run(photographs["coffee"]), extractor(photographs["coffee"])
    theirs.close()
    assert isinstance(found, Features)
    mine = {tuple(place): index for index, place in enumerate(found.keypoints.tolist())}
    order = [mine[tuple(place)] for place in expected.keypoints.tolist()]
    assert len(mine) == len(expected) > 100
    np.testing.assert_allclose(found.scores[order], expected.scores, atol=2e-5)
    np.testing.assert_allclose(found.descriptors[order], expected.descriptors, atol=1e-4)


def test_errors_of_opening_close_what_was_opened(
    task_onnx: Callable[[str], Path], photographs: dict[str, Image]
) -> None:
    named = Named(model=str(task_onnx("SmallUNet")), said=ModelOptions(), size=(64, 48))
    with pytest.raises(OakpointError):
        open_contender(named, Contender(WAYS[0], 1), photographs["coffee"])
