"""A whole measurement with a clock and contenders of the tests: every figure is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oakpoint.bench.host.benchmark import Measuring, run_benchmark
from oakpoint.bench.host.contenders import BACKENDS, Contender, contenders
from oakpoint.bench.host.costs import Cost
from oakpoint.bench.host.opening import STAGES, Clock, Opened
from oakpoint.bench.host.results import Benchmark
from oakpoint.bench.host.rounds import Length
from oakpoint.bench.host.subject import Image, Named, Subject
from oakpoint.bench.host.table import head_line, markdown, speed_grid, work_grid
from oakpoint.errors import BackendError, UsageError
from oakpoint.features.types import DecodeOptions, Features
from oakpoint.models.base import ModelOptions
from oakpoint.tasks.keypoints.task import Keypoints

IMAGES = {name: np.full((8, 8), level, np.uint8) for level, name in enumerate("ab")}
NAMED = Named(model="net", said=ModelOptions(), size=(16, 8))
KEYPOINTS = Keypoints(decode=DecodeOptions.preset("superpoint"))
SUBJECT = Subject(ours=NAMED, theirs=NAMED, task=KEYPOINTS, images=IMAGES)
SECONDS = {"tutorial": 0.4, "torch f32": 0.8, "onnxruntime f32": 0.2, "openvino f32": 0.1, "openvino f32 numpy": 0.125,
           "openvino f32 graph": 0.16}  # fmt: skip
COST = Cost(load_s=1.5, first_s=0.25, peak_mb=300.0, before_mb=90.0)
BY_FOUR = Length(rounds=4, seconds=1)


class Time:
    """A clock that goes on when somebody works."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Working(Opened):
    """Takes as long as it is told, and finds as many keypoints as the image's level says, and one more."""

    in_flight = 2

    def __init__(self, contender: Contender, time: Time, closed: list[str], slower: Callable[[], float]) -> None:
        self.description = f"fake {contender.way.name}"
        self._label, self._time, self._closed, self._slower = contender.label, time, closed, slower
        self._seconds = SECONDS[contender.way.name] / contender.threads

    def run(self, image: Image) -> Features:
        self._time.now += self._seconds * self._slower()
        n = int(image[0, 0]) + 1
        return Features(np.zeros((n, 2), np.float32), np.ones(n, np.float32), np.ones((n, 1), np.float32), (8, 8))

    def staged(self, image: Image, clock: Clock) -> dict[str, float]:
        return dict(zip(STAGES, (0.1 * self._seconds, 0.7 * self._seconds, 0.2 * self._seconds), strict=True))

    def close(self) -> None:
        self._closed.append(self._label)


class Silent:
    """Notes the phases."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, str]] = []

    def started(self, phase: str, total: float) -> None: ...

    def advanced(self, done: float) -> None: ...

    def finished(self, phase: str, words: str) -> None:
        self.phases.append((phase, words))


class Bench:
    """Runs a measurement; a way that is named in ``refused`` cannot be opened."""

    def __init__(self) -> None:
        self.time, self.closed, self.opened, self.heard = Time(), list[str](), list[str](), Silent()
        self.refused: dict[str, BaseException] = {}
        self.slower: Callable[[], float] = lambda: 1.0

    def open(self, named: Named, contender: Contender, image: Image) -> Opened:
        if contender.way.name in self.refused:
            raise self.refused[contender.way.name]
        self.opened.append(contender.label)
        return Working(contender, self.time, self.closed, self.slower)

    def __call__(self, subject: Subject = SUBJECT, tutorial: bool = True, **options: Any) -> Benchmark:
        measuring = Measuring(
            **{"length": BY_FOUR, "clock": self.time, "open": self.open, "cores": 2,
               "cost_of": lambda *_: COST, "streams": None, **options}
        )  # fmt: skip
        threads = (1, 2)
        return run_benchmark(subject, contenders(BACKENDS, ("f32",), threads, tutorial=tutorial), measuring, self.heard)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def by_label(found: Benchmark) -> Mapping[str, Any]:
    return {row.contender.label: row for row in found.rows}


def test_times_and_ratios_are_what_the_clock_says(bench: Bench) -> None:
    found = bench()
    rows = by_label(found)
    assert [row.contender.label for row in found.rows][: len(SECONDS)] == [f"{name}, 1 thread" for name in SECONDS]
    assert rows["tutorial, 1 thread"].latency_ms.median == pytest.approx(400)
    assert rows["openvino f32, 2 threads"].latency_ms.median == pytest.approx(50)
    for threads in ("1 thread", "2 threads"):
        ratios = {name: rows[f"{name}, {threads}"].times for name in SECONDS}
        assert {name: round(ratio.value, 6) for name, ratio in ratios.items()} == {
            "tutorial": 1, "torch f32": 0.5, "onnxruntime f32": 2, "openvino f32": 4,
            "openvino f32 numpy": 3.2, "openvino f32 graph": 2.5,
        }  # fmt: skip
    stages = {name: spread.median for name, spread in rows["openvino f32, 1 thread"].stages_ms.items()}
    assert stages == pytest.approx({"preprocess": 10, "network": 70, "decode": 20})
    assert (found.base, found.rounds, found.noisy, found.left_out) == ("tutorial", 4, (), ())
    assert {row.found for row in found.rows} == {1.5}, "one keypoint in the first image, two in the second"
    assert bench.heard.phases[0] == ("opening", "12 of 12")


def test_every_model_is_closed_once(bench: Bench) -> None:
    bench()
    assert sorted(bench.closed) == sorted(bench.opened)
    assert bench.opened.count("openvino f32, 1 thread") == 2, "two cores hold two models of one thread"
    assert bench.opened.count("openvino f32, 2 threads") == 1


def test_what_cannot_be_opened_is_left_out_with_its_reason(bench: Bench) -> None:
    bench.refused = {"torch f32": BackendError("torch is not installed")}
    found = bench()
    assert {(item.contender.threads, item.reason) for item in found.left_out} == {
        (1, "torch is not installed"), (2, "torch is not installed"),
    }  # fmt: skip
    assert found.notes() == ["left out: torch f32: torch is not installed"]
    assert "torch f32, 1 thread" not in by_label(found)


def test_without_the_tutorial_the_first_way_is_the_base(bench: Bench) -> None:
    assert bench(tutorial=False).base == "torch f32"
    bench.refused = {"tutorial": UsageError("the network is one for boxes")}
    assert bench().base == "torch f32"


def test_another_base(bench: Bench) -> None:
    rows = by_label(bench(against="openvino f32"))
    assert rows["tutorial, 2 threads"].times.value == pytest.approx(0.25)
    bench.refused = {"openvino f32": BackendError("no")}
    with pytest.raises(
        UsageError, match="--against: expected one of tutorial, torch f32, onnxruntime f32, openvino f32 numpy"
    ):
        bench(against="openvino f32")
    assert sorted(bench.closed) == sorted(bench.opened)


def test_nothing_to_measure_is_an_error(bench: Bench) -> None:
    bench.refused = dict.fromkeys(SECONDS, BackendError("no runtime"))
    with pytest.raises(BackendError, match="nothing could be measured: no runtime"):
        bench()


def test_a_noisy_machine_is_said(bench: Bench) -> None:
    runs = iter(range(10**6))
    bench.slower = lambda: 1.0 + 0.5 * (next(runs) // 7 % 2)
    found = bench(length=Length(rounds=9, seconds=1))
    assert found.noisy
    assert any(note.startswith("noisy: in ") and "take the ratios" in note for note in found.notes())
    assert found.facts()["measuring"]["noisy"]


def test_ctrl_c_leaves_whole_rounds_and_skips_the_rest(bench: Bench) -> None:
    def interrupted() -> float:
        if bench.time.now > 40:
            raise KeyboardInterrupt
        return 1.0

    bench.slower = interrupted
    found = bench(length=Length(rounds=99, seconds=1))
    assert isinstance(found.interrupt, KeyboardInterrupt)
    assert 1 <= found.rounds < 99
    assert {row.throughput for row in found.rows} == {row.cost for row in found.rows} == {None}
    assert any(note.startswith("interrupted") for note in found.notes())
    assert sorted(bench.closed) == sorted(bench.opened)


def test_ctrl_c_before_the_first_round_is_ctrl_c(bench: Bench) -> None:
    bench.refused = {"openvino f32": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        bench()


def test_throughput_can_be_left_out(bench: Bench) -> None:
    assert {row.throughput for row in bench(streams=0).rows} == {None}
    flow = by_label(bench(streams=3))["openvino f32, 2 threads"].throughput.flow
    assert (flow.streams, flow.in_flight) == (3, 3)


FACTS = {"schema", "measured_on", "machine", "network", "measuring", "base", "rows", "left_out"}
ROW = {
    "name", "threads", "model", "runtime", "precision", "latency_ms", "rounds_ms", "stages_ms", "times_as_fast",
    "throughput", "cost", "found_mean", "found_in_first",
}  # fmt: skip


def test_the_facts_of_schema_1(bench: Bench) -> None:
    bench.refused = {"torch f32": BackendError("no")}
    facts = json.loads(json.dumps(bench().facts(), allow_nan=False))
    assert set(facts) == FACTS
    assert facts["schema"] == 1
    assert all(set(row) == ROW for row in facts["rows"])
    row = next(row for row in facts["rows"] if (row["name"], row["threads"]) == ("openvino f32", 1))
    assert set(row["latency_ms"]) == {"median", "low_quartile", "high_quartile", "count"}
    assert set(row["stages_ms"]) == set(STAGES)
    assert set(row["times_as_fast"]) == {"value", "low", "high", "rounds"}
    assert set(row["throughput"]) == {"images_per_s", "times_as_many", "streams", "in_flight"}
    assert row["cost"] == {"load_s": 1.5, "first_s": 0.25, "peak_mb": 300.0, "before_mb": 90.0}
    assert len(row["rounds_ms"]) == facts["measuring"]["rounds"] == 4
    assert facts["left_out"][0] == {"name": "torch f32", "threads": 1, "reason": "no"}
    assert set(facts["machine"]) == {"processor", "cores", "features", "load_average", "system", "versions"}


def test_a_process_that_fails_leaves_the_other_figures(bench: Bench) -> None:
    found = bench(cost_of=lambda *_: "its process ended with code -9")
    assert found.rows[0].facts()["cost"] == {"error": "its process ended with code -9"}
    assert work_grid(found).rows[0][5:8] == ("–", "–", "–")


def test_the_tables(bench: Bench) -> None:
    found = bench()
    speed, work = speed_grid(found), work_grid(found)
    assert speed.rows[0][:4] == ("tutorial", "1", "400 [400, 400]", "base")
    assert speed.rows[3][:4] == ("openvino f32", "1", "100 [100, 100]", "4.00 [4.00, 4.00]")
    assert work.rows[3] == ("openvino f32", "1", "10.0", "70.0", "20.0", "1.50", "0.25", "300", "2")
    for grid in (speed, work):
        widths = [max(len(row[column]) for row in (grid.headings, *grid.rows)) for column in range(len(grid.headings))]
        assert sum(widths) + 2 * len(widths) <= 100
        assert {len(row) for row in grid.rows} == {len(grid.headings)}
    text = markdown(found)
    assert head_line(found) in text
    assert "net 16×8, 2 images, 4 rounds; " in text
    assert text.count("| openvino f32 | 1 |") == 2


def test_a_base_of_another_network_is_named(bench: Bench) -> None:
    other = replace(SUBJECT, theirs=replace(NAMED, model="superpoint"))
    assert "«tutorial» of superpoint at" in speed_grid(bench(other)).caption
