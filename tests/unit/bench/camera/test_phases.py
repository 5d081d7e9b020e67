from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from oakpoint.bench.camera.measuring import CameraFigures, HostFramesSpeed
from oakpoint.bench.camera.phases import Failed, Measured, measure
from oakpoint.bench.camera.subject import Subject
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.errors import DeviceLostError
from oakpoint.oak.live import LiveStatistics

PASSED = StageReport(stage="simulator → camera", verdict=Verdict.PASS, summary="all")
SPEED = HostFramesSpeed(frames=3, rate_fps=10.0, latency_ms_median=1.0, latency_ms_p95=2.0)
FIGURES = CameraFigures(frames=9, keypoints_mean=1.0, facts=LiveStatistics().facts(), last=None)
LOST = DeviceLostError("OAK camera: lost;\n plug it in again")


class Heard:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def started(self, phase: str, total: float | None) -> None:
        self.calls.append(("started", phase))

    def finished(self, phase: str, outcome: object) -> None:
        self.calls.append(("finished", phase))

    def advanced(self, done: float) -> None: ...

    def noted(self, note: str) -> None: ...


Measure = Callable[..., tuple[Measured, Heard]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """What comes of phases that give these figures or raise these errors."""

    def run(parity: object = PASSED, speed: object = SPEED, camera: object = FIGURES) -> tuple[Measured, Heard]:
        for name, outcome in (("_parity", parity), ("_host_frames", speed), ("_camera", camera)):

            def give(*_: object, outcome: object = outcome) -> Any:
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome

            monkeypatch.setattr(f"oakpoint.bench.camera.phases.{name}", give)
        heard = Heard()
        return measure(cast(Subject, None), heard, seconds=1, frames=3), heard

    return run


def test_all_phases(measured: Measure) -> None:
    told, heard = measured()
    assert (told.parity, told.speed, told.camera, told.interrupt) == (PASSED, SPEED, FIGURES, None)
    assert (told.failures, told.verdict) == ((), Verdict.PASS)
    phases = ("parity", "frames of host", "camera")
    assert heard.calls == [(what, phase) for phase in phases for what in ("started", "finished")]


@pytest.mark.parametrize("phase", ["parity", "speed", "camera"])
def test_a_phase_that_fails_leaves_the_others(measured: Measure, phase: str) -> None:
    told, _ = measured(**{phase: LOST})
    outcomes = {"parity": told.parity, "speed": told.speed, "camera": told.camera}
    reason = "OAK camera: lost; plug it in again"
    assert outcomes == {"parity": PASSED, "speed": SPEED, "camera": FIGURES} | {phase: Failed(reason)}
    assert (told.failures, told.verdict) == ((reason,), Verdict.FAIL)


def test_so_does_one_that_fails_in_a_way_nobody_foresaw(measured: Measure, caplog: pytest.LogCaptureFixture) -> None:
    told, _ = measured(speed=ValueError("what is\nthis"))
    assert (told.parity, told.speed, told.camera) == (PASSED, Failed("ValueError: what is this"), FIGURES)
    assert "Traceback" in caplog.text


def test_a_reason_is_told_once(measured: Measure) -> None:
    assert measured(speed=LOST, camera=LOST)[0].failures == ("OAK camera: lost; plug it in again",)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.NOTHING_COMPARED])
def test_the_verdict_is_that_of_parity(measured: Measure, verdict: Verdict) -> None:
    told, _ = measured(parity=StageReport(stage="simulator → camera", verdict=verdict, summary="off"))
    assert (told.failures, told.verdict) == ((), verdict)


def test_ctrl_c_ends_the_phases_after_it(measured: Measure) -> None:
    interrupt = KeyboardInterrupt()
    told, heard = measured(speed=interrupt)
    assert (told.parity, told.speed, told.camera) == (PASSED, Failed("interrupted"), None)
    assert (told.interrupt, told.failures) == (interrupt, ())
    assert heard.calls[-1] == ("finished", "frames of host")
