"""``oakpoint bench``: its logic on the stand-in and with a clock of the tests; no figure of speed is judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.records import Verdict
from oakpoint.features.types import Features

pytest.importorskip("depthai")

from oakpoint.bench.camera import compare_with_simulator, measure_camera, measure_host_frames
from oakpoint.bench.report import table
from oakpoint.oak.host_frames import open_host_frames_stand_in
from oakpoint.oak.live import LiveFrame, LiveStatistics
from oakpoint.oak.model import DeviceModel, open_stand_in

pytestmark = pytest.mark.compiler

Image = NDArray[np.uint8]


@pytest.fixture
def two(photographs: dict[str, Image]) -> dict[str, Image]:
    return {name: photographs[name] for name in ("camera", "coffee")}


class Altered(Backend):
    """The blob with its logits turned over."""

    def __init__(self, backend: Backend) -> None:
        self.description, self.inputs, self.outputs = "altered", backend.inputs, backend.outputs
        self._backend = backend

    def _run(self, tensors: Any) -> Tensors:
        outputs = self._backend.run(tensors)
        return outputs | {"semi": outputs["semi"][:, ::-1]}


def test_the_executed_blob_agrees_with_itself_through_depthai(
    executed: tuple[DeviceModel, Backend], small_blob_bundle: Path, two: dict[str, Image]
) -> None:
    model, backend = executed

    def chip() -> Any:
        return open_host_frames_stand_in(model, backend)

    def simulator() -> Backend:
        return open_stand_in(small_blob_bundle, "myriad_simulator")[1]

    report = compare_with_simulator(model, simulator, chip, two)
    assert report.verdict is Verdict.PASS
    assert report.figures is not None
    assert report.figures["largest heat-map error"] == 0
    assert "Not shown: sensor, lens" in report.claim


def test_other_outputs_fail(
    executed: tuple[DeviceModel, Backend], small_blob_bundle: Path, two: dict[str, Image]
) -> None:
    model, backend = executed
    report = compare_with_simulator(
        model,
        lambda: open_stand_in(small_blob_bundle, "myriad_simulator")[1],
        lambda: open_host_frames_stand_in(model, Altered(backend)),
        two,
    )
    assert report.verdict is Verdict.FAIL


def test_nothing_compared_is_neither(executed: tuple[DeviceModel, Backend]) -> None:
    report = compare_with_simulator(executed[0], lambda: executed[1], lambda: executed[1], {})  # type: ignore[arg-type, return-value]
    assert report.verdict is Verdict.NOTHING_COMPARED


def test_speed_is_counted_by_the_clock(executed: tuple[DeviceModel, Backend]) -> None:
    ticks = count()
    tensor = np.zeros((1, 1, 120, 160), np.uint8)
    with open_host_frames_stand_in(*executed) as chip:
        speed = measure_host_frames(chip, [tensor], frames=5, clock=lambda: float(next(ticks)))
    # Each frame by itself takes one tick, and each of several under way another.
    assert (speed.frames, speed.rate_fps, speed.latency_ms_median) == (5, 1.0, 1000.0)


def test_a_camera_is_measured_for_the_time_asked_for() -> None:
    statistics, ticks = LiveStatistics(), count()

    def frames() -> Iterator[LiveFrame]:
        features = Features(np.zeros((3, 2), np.float32), np.ones(3, np.float32), np.ones((3, 1), np.float32), (8, 8))
        for number in count():
            statistics.frames += 1
            yield LiveFrame(np.zeros((8, 8), np.uint8), features, number, 0.1, float(number))

    figures = measure_camera(frames(), statistics, seconds=4, clock=lambda: float(next(ticks)))
    assert (figures.frames, figures.keypoints_mean) == (4, 3.0)
    assert figures.last is not None
    assert figures.last.sequence == 3


def test_the_whole_command_on_the_stand_in(
    command: Callable[..., Any], small_blob_bundle: Path, image_folder: Path, tmp_path: Path
) -> None:
    arguments = ("--device", "replay", "--seconds", "0.1", "--frames", "3", "--images", image_folder)
    ran = command("bench", small_blob_bundle, *arguments, "--report", tmp_path / "r", "--json")
    assert (ran.code, ran.errors) == (0, [])
    facts = json.loads(ran.out, parse_constant=pytest.fail)
    written = json.loads((tmp_path / "r" / "report.json").read_text())
    assert {key: facts[key] for key in written} == written
    assert (facts["measured_on"], facts["parity"]["verdict"], facts["network"]["size"]) == (
        "stand-in",
        "pass",
        [160, 120],
    )
    assert facts["camera"]["frames"] >= 1
    text = (tmp_path / "r" / "report.md").read_text()
    assert "| measured on | NOT A CAMERA: its stand-in on this machine |" in text
    assert "RANDOM WEIGHTS" in text
    assert cv2.imread(str(tmp_path / "r" / "last_frame.png")) is not None
    again = command("bench", small_blob_bundle, *arguments, "--report", tmp_path / "r")
    assert again.code == 0
    assert again.out.count("parity") == 2


def test_what_was_not_measured_is_said(small_blob_bundle: Path) -> None:
    facts = {
        "measured_on": "camera",
        "device": {"camera": "OAK-D", "usb_speed": "SUPER", "depthai": "3.12.0"},
        "oakpoint": "0.1.0",
        "network": {"name": "a", "size": [8, 8], "heads": "dense", "shaves": 6, "trained": True},
        "parity": {"verdict": "pass", "summary": "all"},
        "host_frames": {"rate_fps": 10.0, "latency_ms_median": 1.0, "latency_ms_p95": 2.0},
        "camera": {"frames": 0} | LiveStatistics().facts(),
    }
    assert "| rate, camera | not measured |" in table(facts)
    assert "| measured on | OAK-D, USB SUPER |" in table(facts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "tpu"), "device: expected one of oak, replay, got 'tpu'"),
        (("--device", "replay", "--fps", "10"), "--fps: counts with --device oak only"),
        (("--device", "replay", "--shaves", "4"), "--shaves: counts with --device oak only"),
        (("--frames", "0"), "expected 1 or more --frames"),
        (("--seconds", "nan"), "more than 0 --seconds"),
        (("--report", "PLACE"), "holds other files than a camera's report"),
    ],
)
def test_mistakes_are_one_line(
    command: Callable[..., Any], small_blob_bundle: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "mine.txt").touch()
    ran = command("bench", small_blob_bundle, *(tmp_path if word == "PLACE" else word for word in words))
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert message in ran.errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
