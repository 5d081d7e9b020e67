"""The facts of a camera's measurement."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import oakpoint
from oakpoint.bench.camera.measuring import CameraFigures, HostFramesSpeed
from oakpoint.bench.camera.phases import Failed, Measured, Outcome, reason_of
from oakpoint.bench.camera.subject import Subject
from oakpoint.bundle.records import StageReport
from oakpoint.files import sha256_of_file

SCHEMA = 1


def report_facts(subject: Subject, measured: Measured) -> dict[str, Any]:
    """Everything that was measured, and on what: of each phase its figures, ``error`` in one line, or None.

    A camera that was lost after its first frame has both, figures and ``error``.
    """
    model, options = subject.model, subject.options
    manifest = model.bundle.manifest
    return {
        "schema": SCHEMA,
        "oakpoint": oakpoint.__version__,
        "measured_on": "stand-in" if options is None else "camera",
        "device": subject.device,
        "options": None if options is None else asdict(options),
        "network": {
            "name": manifest.network,
            "weights": manifest.weights.name,
            "trained": manifest.weights.trained,
            "size": list(model.size),
            "heads": manifest.device.heads,
            "in_two": manifest.split is not None,
            "shaves": subject.blob.shaves,
            "file": subject.blob.source.name,
            "file_sha256": sha256_of_file(subject.blob.source),
        },
        "parity": _facts_of(measured.parity),
        "host_frames": _facts_of(measured.speed),
        "camera": _facts_of(measured.camera),
    }


def _facts_of(outcome: Outcome | None) -> dict[str, object] | None:
    match outcome:
        case None:
            return None
        case Failed():
            return {"error": outcome.reason}
        case StageReport():
            return outcome.facts()
        case HostFramesSpeed():
            return asdict(outcome)
        case CameraFigures():
            ended = {} if outcome.ended is None else {"error": reason_of(outcome.ended)}
            return {**ended, "frames": outcome.frames, "keypoints_mean": outcome.keypoints_mean, **outcome.facts}
