"""The report of a camera's measurement: ``report.json``, ``report.md`` and a picture, in a folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

import oakpoint
from oakpoint.bench.camera import CameraFigures, HostFramesSpeed
from oakpoint.bench.phases import Failed, Measured, Outcome, reason_of
from oakpoint.bench.subject import Subject
from oakpoint.bench.table import table
from oakpoint.bundle.records import StageReport
from oakpoint.errors import OutputError
from oakpoint.files import sha256_of_file
from oakpoint.oak.live import LiveFrame
from oakpoint.result_folders import FolderKind, check_place, replacing_result
from oakpoint.view.results.registry import view_of

JSON_FILE, TABLE_FILE, PICTURE_FILE = "report.json", "report.md", "last_frame.png"
REPORT = FolderKind(name="a camera's report", option="--report")

SCHEMA = 1


def check_report_folder(folder: Path) -> None:
    """Refuse to replace what is not an earlier report alone.

    Raises:
        OutputError: a file, or a folder with other files in it.
    """
    check_place(folder, REPORT)


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


def write_report(folder: Path, facts: dict[str, Any], last: LiveFrame | None) -> None:
    """Write the folder, whole or not at all.

    Args:
        folder: where to.
        facts: from ``report_facts``.
        last: the frame for the picture; None where there was none.

    Raises:
        OutputError: see ``check_report_folder``, or it cannot be written.
    """
    with replacing_result(folder, REPORT) as temporary:
        (temporary / JSON_FILE).write_text(json.dumps(facts, indent=2, default=str, allow_nan=False) + "\n")
        (temporary / TABLE_FILE).write_text(table(facts))
        if last is not None:
            picture = view_of(last.result).still(last.image, last.result)
            if not cv2.imwrite(str(temporary / PICTURE_FILE), picture):
                raise OutputError(f"{folder}: {PICTURE_FILE} could not be written")
