"""The phases of a measurement. One that fails leaves the others their figures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeVar

import numpy as np

from oakpoint.bench.camera.measuring import (
    CameraFigures,
    HostFramesSpeed,
    compare_with_simulator,
    measure_camera,
    measure_host_frames,
)
from oakpoint.bench.camera.subject import Subject
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.errors import OakpointError
from oakpoint.oak.live import LiveStatistics, live_frames

Phase = Literal["parity", "frames of host", "camera"]

INTERRUPTED = "interrupted"

_log = logging.getLogger(__name__)
_Figures = TypeVar("_Figures", StageReport, HostFramesSpeed, CameraFigures)


@dataclass(frozen=True, slots=True)
class Failed:
    """A phase that gave no figures, and why, in one line."""

    reason: str


Outcome = StageReport | HostFramesSpeed | CameraFigures | Failed


@dataclass(slots=True)
class Measured:
    """What came of the phases; None where Ctrl-C came first.

    Attributes:
        parity: against the simulator.
        speed: on frames of the host.
        camera: on the camera's own frames.
        interrupt: Ctrl-C, for the caller to raise once the figures are told.
    """

    parity: StageReport | Failed | None = None
    speed: HostFramesSpeed | Failed | None = None
    camera: CameraFigures | Failed | None = None
    interrupt: KeyboardInterrupt | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """Why phases failed, each reason once. Outputs that differ are a verdict, and Ctrl-C is neither."""
        reasons = [outcome.reason for outcome in (self.parity, self.speed, self.camera) if isinstance(outcome, Failed)]
        if isinstance(self.camera, CameraFigures) and self.camera.ended is not None:
            reasons.append(reason_of(self.camera.ended))
        return tuple(reason for reason in dict.fromkeys(reasons) if reason != INTERRUPTED)

    @property
    def verdict(self) -> Verdict:
        """That of parity; FAIL where a phase failed."""
        if self.failures or not isinstance(self.parity, StageReport):
            return Verdict.FAIL
        return self.parity.verdict


class Listener(Protocol):
    """Is told how the measurement gets on."""

    def started(self, phase: Phase, total: float | None) -> None:
        """A phase begins; ``total`` is how far it will go, None where nobody knows."""

    def advanced(self, done: float) -> None:
        """How far of ``total`` it has come."""

    def finished(self, phase: Phase, outcome: Outcome) -> None:
        """What came of it."""

    def noted(self, note: str) -> None:
        """Something that the user is to be told."""


def measure(subject: Subject, listener: Listener, *, seconds: float, frames: int) -> Measured:
    """Go through all phases, or until Ctrl-C.

    Args:
        subject: what is measured.
        listener: is told how it gets on.
        seconds: how long to run on the camera's own frames.
        frames: frames of the host to time, see ``measure_host_frames``.
    """
    measured = Measured()
    measured.parity = _outcome(measured, listener, "parity", None, lambda: _parity(subject))
    host_frames = partial(_host_frames, subject, listener, frames)
    measured.speed = _outcome(measured, listener, "frames of host", 2 * frames, host_frames)
    measured.camera = _outcome(measured, listener, "camera", seconds, lambda: _camera(subject, listener, seconds))
    if isinstance(measured.camera, CameraFigures) and isinstance(measured.camera.ended, KeyboardInterrupt):
        measured.interrupt = measured.camera.ended
    return measured


def reason_of(error: BaseException) -> str:
    """Why a phase failed."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    text = " ".join(str(error).split())
    return text if isinstance(error, OakpointError) else f"{type(error).__name__}: {text}"


def _outcome(
    measured: Measured, listener: Listener, phase: Phase, total: float | None, run: Callable[[], _Figures]
) -> _Figures | Failed | None:
    if measured.interrupt is not None:
        return None
    outcome: _Figures | Failed = Failed(INTERRUPTED)
    listener.started(phase, total)
    try:
        outcome = run()
    except KeyboardInterrupt as interrupt:
        measured.interrupt = interrupt
    except Exception as error:  # noqa: BLE001  # whatever a firmware brings about, the other phases keep their figures
        if not isinstance(error, OakpointError):
            _log.exception("%s failed", phase)
        outcome = Failed(reason_of(error))
    finally:
        listener.finished(phase, outcome)
    return outcome


def _parity(subject: Subject) -> StageReport:
    return compare_with_simulator(subject.model, subject.open_simulator, subject.open_chip, subject.photographs)


def _host_frames(subject: Subject, listener: Listener, frames: int) -> HostFramesSpeed:
    preprocess = subject.model.preprocess
    tensors = [np.asarray(preprocess.apply(image)[0], np.uint8) for image in subject.photographs.values()]
    with subject.open_chip() as chip:
        return measure_host_frames(chip, tensors, frames=frames, clock=time.monotonic, progress=listener.advanced)


def _camera(subject: Subject, listener: Listener, seconds: float) -> CameraFigures:
    statistics = LiveStatistics()
    opened, timing = subject.open_feed()
    with opened as feed:
        for note in feed.notes:
            listener.noted(note)
        live = live_frames(feed, statistics, timing)
        return measure_camera(live, statistics, seconds=seconds, clock=time.monotonic, progress=listener.advanced)
