"""``oakpoint bench``: its logic on the stand-in and with a clock of the tests; no figure of speed is judged."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.records import Verdict
from oakpoint.errors import BackendError, DeviceLostError
from oakpoint.features.types import Features
from oakpoint.myriad.superblob import superblob_from_blobs

pytest.importorskip("depthai")

from depthai_stub import StubDepthai
from readings import known_reading

from oakpoint.bench.camera.measuring import compare_with_simulator, measure_camera, measure_host_frames
from oakpoint.bench.camera.subject import open_subject
from oakpoint.oak.host_frames import open_host_frames_stand_in
from oakpoint.oak.live import LiveFrame, LiveStatistics
from oakpoint.oak.model import DeviceModel, open_stand_in
from oakpoint.oak.options import OakOptions

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
            yield LiveFrame(np.zeros((8, 8), np.uint8), known_reading(features), number, 0.1, float(number))

    figures = measure_camera(frames(), statistics, seconds=4, clock=lambda: float(next(ticks)))
    assert (figures.frames, figures.keypoints_mean) == (4, 3.0)
    assert figures.last is not None
    assert figures.last.sequence == 3


def test_a_camera_lost_in_the_middle_leaves_its_figures() -> None:
    statistics, ticks, lost = LiveStatistics(), count(), DeviceLostError("OAK camera: lost")

    def frames(number: int) -> Iterator[LiveFrame]:
        features = Features(np.zeros((3, 2), np.float32), np.ones(3, np.float32), np.ones((3, 1), np.float32), (8, 8))
        for _ in range(number):
            statistics.frames += 1
            yield LiveFrame(np.zeros((8, 8), np.uint8), known_reading(features), statistics.frames, 0.1, 0.0)
        raise lost

    figures = measure_camera(frames(2), statistics, seconds=9, clock=lambda: float(next(ticks)))
    assert (figures.frames, figures.keypoints_mean, figures.ended) == (2, 3.0, lost)
    with pytest.raises(DeviceLostError):
        measure_camera(frames(0), statistics, seconds=9, clock=lambda: float(next(ticks)))


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


def test_the_camera_phase_is_announced(
    command: Callable[..., Any], small_blob_bundle: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line elsewhere, a bar on a terminal."""
    arguments = ("--device", "replay", "--seconds", "0.1", "--frames", "1", "--images", image_folder)
    line = "running on the camera's own frames for 0.1 s …"
    assert line in command("bench", small_blob_bundle, *arguments).out
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr("oakpoint.cli.console.err", terminal)
    assert line not in command("bench", small_blob_bundle, *arguments).out
    assert "camera ━" in terminal.file.getvalue()  # type: ignore[attr-defined]


# The command with a camera, of which all is real but Device, Camera and NeuralNetwork.


Bench = Callable[..., tuple[Any, dict[str, Any]]]


@pytest.fixture
def stub(executed: tuple[DeviceModel, Backend], two: dict[str, Image]) -> StubDepthai:
    return StubDepthai(executed[1], executed[0].preprocess, cycle([two["camera"][150:270, 100:260]]))


@pytest.fixture
def bench(
    command: Callable[..., Any],
    stub: StubDepthai,
    small_blob_bundle: Path,
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    """``bench --device oak`` on two images: what it said, and its report."""
    for place in ("oak.camera", "oak.host_frames", "bench.camera.subject"):
        monkeypatch.setattr(f"oakpoint.{place}.import_depthai", lambda: stub)

    def run(*words: object) -> tuple[Any, dict[str, Any]]:
        arguments = ("--seconds", "0.2", "--frames", "3", "--images", image_folder, "--report", tmp_path / "r", *words)
        ran = command("bench", small_blob_bundle, "--device", "oak", *arguments)
        assert all(device.closed == 1 for device in stub.opened)
        facts = json.loads((tmp_path / "r" / "report.json").read_text(), parse_constant=pytest.fail)
        return ran, facts | {"table": (tmp_path / "r" / "report.md").read_text()}

    return run


def test_a_camera_is_measured_against_the_rate_asked_for(bench: Bench) -> None:
    ran, facts = bench("--fps", "12")
    assert (ran.code, ran.errors, facts["measured_on"], facts["parity"]["verdict"]) == (0, [], "camera", "pass")
    assert "| measured on | OAK-D-LITE, USB SUPER |" in facts["table"]
    assert " of 12 a second asked for |" in facts["table"]


def test_all_phases_are_measured_on_one_camera(bench: Bench, stub: StubDepthai) -> None:
    bench()
    first, *others = [[info.deviceId for info in device.arguments] for device in stub.opened]
    assert (first, len(others)) == ([], 3)
    assert all(asked == ["14442C10D13EABCE00"] for asked in others)


def test_a_camera_that_is_lost_leaves_what_was_measured_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> Any:
        raise DeviceLostError("OAK camera: lost while it was running (X_LINK_ERROR)")

    monkeypatch.setattr("oakpoint.bench.camera.subject.open_camera", lost)
    ran, facts = bench()
    assert (ran.code, ran.errors) == (1, ["error: OAK camera: lost while it was running (X_LINK_ERROR)"])
    assert facts["parity"]["verdict"] == "pass"
    assert facts["host_frames"]["rate_fps"] > 0
    assert facts["camera"] == {"error": "OAK camera: lost while it was running (X_LINK_ERROR)"}
    assert "| rate, camera | failed: OAK camera: lost while it was running (X_LINK_ERROR) |" in facts["table"]


def test_tensors_described_in_another_way_fail_every_phase_and_are_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def described(*_: Any) -> Any:
        raise BackendError("camera: tensor semi: expected (1, 65, 15, 20), got (15, 20, 65)")

    for module in ("host_frames", "node"):
        monkeypatch.setattr(f"oakpoint.oak.{module}.tensors_from_nn_data", described)
    ran, facts = bench()
    reason = "camera: tensor semi: expected (1, 65, 15, 20), got (15, 20, 65)"
    assert (ran.code, ran.errors) == (1, [f"error: {reason}"]), "once for both phases"
    assert (facts["parity"]["verdict"], facts["parity"]["summary"]) == ("fail", reason)
    assert facts["host_frames"] == facts["camera"] == {"error": reason}
    assert f"| rate, frames of the host | failed: {reason} |" in facts["table"]


def test_a_comparison_that_fails_leaves_the_rates(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> Any:
        raise DeviceLostError("OAK camera: lost")

    monkeypatch.setattr("oakpoint.bench.camera.phases.compare_with_simulator", lost)
    ran, facts = bench()
    assert ran.code == 1
    assert facts["parity"] == {"error": "OAK camera: lost"}
    assert "| parity with the simulator | failed: OAK camera: lost |" in facts["table"]
    assert facts["host_frames"]["rate_fps"] > 0
    assert facts["camera"]["frames"] > 0


def test_ctrl_c_leaves_what_there_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from oakpoint.oak.live import live_frames

    def interrupted(*arguments: Any) -> Iterator[LiveFrame]:
        yield from islice(live_frames(*arguments), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr("oakpoint.bench.camera.phases.live_frames", interrupted)
    ran, facts = bench("--seconds", "60")
    assert (ran.code, ran.errors) == (130, ["error: interrupted"])
    assert (facts["parity"]["verdict"], facts["host_frames"]["frames"]) == ("pass", 3)
    assert (facts["camera"]["frames"], facts["camera"]["error"]) == (3, "interrupted")
    assert "a second asked for, then interrupted |" in facts["table"]


def test_ctrl_c_in_the_first_phase_ends_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("oakpoint.bench.camera.phases.compare_with_simulator", interrupted)
    ran, facts = bench()
    assert (ran.code, ran.errors) == (130, ["error: interrupted"])
    assert (facts["parity"], facts["host_frames"], facts["camera"]) == ({"error": "interrupted"}, None, None)
    assert "| parity with the simulator | interrupted |" in facts["table"]
    assert "| rate, camera | not measured |" in facts["table"]


def test_with_other_shaves_the_superblobs_blob_is_executed(
    executed: tuple[DeviceModel, Backend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bsdiff4")
    monkeypatch.setattr("oakpoint.bench.camera.subject.import_depthai", StubDepthai)
    model = with_superblob(executed[0], tmp_path / "bundle")
    for shaves, description in ((None, "myriad simulator, 6 shaves"), (4, "myriad simulator, 4 shaves")):
        with open_subject(model, OakOptions(shaves=shaves), {}) as subject, subject.open_simulator() as simulator:
            assert simulator.description == description


def with_superblob(model: DeviceModel, folder: Path) -> DeviceModel:
    """The bundle's copy with a superblob: its blob, claimed for 4 and 8 SHAVEs (word 12 behind the ELF header)."""
    shutil.copytree(model.bundle.folder, folder)
    content, blobs = (folder / "model.blob").read_bytes(), {}
    for shaves in (4, 8):
        blobs[shaves] = content[: 52 + 4 * 12] + shaves.to_bytes(4, "little") + content[52 + 4 * 13 :]
    (folder / "model.superblob").write_bytes(superblob_from_blobs(blobs))
    manifest = model.bundle.manifest
    superblob = replace(manifest.artifact("blob"), kind="superblob", files={"model.superblob": "00"})
    return replace(model, bundle=Bundle(folder, replace(manifest, artifacts=(*manifest.artifacts, superblob))))


def test_a_camera_that_cannot_be_opened_is_one_line(
    command: Callable[..., Any], small_blob_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oakpoint.bench.camera.subject.import_depthai", lambda: StubDepthai(platform="RVC4"))
    ran = command("bench", small_blob_bundle, "--device", "oak", "--report", tmp_path / "r")
    assert (ran.code, ran.out, len(ran.errors)) == (1, "", 1)
    assert "expected an RVC2" in ran.errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", "tpu"), "device: expected one of host, oak, replay, got 'tpu'"),
        (("--device", "oak", "--threads", "1"), "--threads: counts with --device host only"),
        (("--device", "oak", "--tutorial-weights", "w.pth"), "--tutorial-weights: counts with --device host only"),
        (("--device", "replay", "--color", "rgb"), "a camera runs a bundle, whose manifest tells of its network"),
        (("--device", "replay", "--fps", "10"), "--fps: counts with --device oak only"),
        (("--device", "replay", "--shaves", "4"), "--shaves: counts with --device oak only"),
        (("--device", "oak", "--shaves", "3"), "for other numbers make one with"),
        (("--frames", "0"), "--frames: expected 1 or more, got 0"),
        (("--seconds", "nan"), "--seconds: expected more than 0, got nan"),
        (
            ("--device", "oak", "--report", "PLACE"),
            "holds mine.txt, and is not a camera's report that oakpoint made; choose another --report",
        ),
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
