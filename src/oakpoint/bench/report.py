"""The report of a camera's measurement: ``report.json``, ``report.md`` and a picture, in a folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

import oakpoint
from oakpoint.bench.camera import CameraFigures, HostFramesSpeed
from oakpoint.bundle.records import StageReport
from oakpoint.errors import OutputError
from oakpoint.files import replacing_folder, sha256_of_file
from oakpoint.oak.model import DeviceModel
from oakpoint.oak.options import OakOptions
from oakpoint.view.draw import draw_keypoints

JSON_FILE, TABLE_FILE, PICTURE_FILE = "report.json", "report.md", "last_frame.png"
OWN_FILES = {JSON_FILE, TABLE_FILE, PICTURE_FILE}

SCHEMA = 1


def check_report_folder(folder: Path) -> None:
    """Refuse to replace what is not an earlier report.

    Raises:
        OutputError: a file, or a folder with other files in it.
    """
    if folder.is_file():
        raise OutputError(f"{folder}: there is a file of that name; choose another --report")
    if folder.is_dir() and {path.name for path in folder.iterdir()} - OWN_FILES:
        raise OutputError(f"{folder}: holds other files than a camera's report; choose another --report")


def report_facts(
    model: DeviceModel,
    device: dict[str, object],
    options: OakOptions | None,
    parity: StageReport,
    speed: HostFramesSpeed,
    camera: CameraFigures,
) -> dict[str, Any]:
    """Everything that was measured, and on what.

    Args:
        model: what ran.
        device: facts of the camera or its stand-in.
        options: of the camera; None for the stand-in.
        parity: against the simulator.
        speed: on frames of the host.
        camera: on the camera's own frames.
    """
    manifest = model.bundle.manifest
    shaves = options.shaves if options is not None and options.shaves is not None else manifest.shaves
    blob = model.bundle.path("blob") if shaves == manifest.shaves else model.bundle.path("superblob")
    return {
        "schema": SCHEMA,
        "oakpoint": oakpoint.__version__,
        "measured_on": "stand-in" if options is None else "camera",
        "device": device,
        "options": None if options is None else asdict(options),
        "network": {
            "name": manifest.network,
            "weights": manifest.weights.name,
            "trained": manifest.weights.trained,
            "size": list(model.size),
            "heads": manifest.heads,
            "shaves": shaves,
            "file": blob.name,
            "file_sha256": sha256_of_file(blob),
        },
        "parity": {
            "verdict": parity.verdict.value,
            "summary": parity.summary,
            "images": parity.images,
            "figures": parity.figures or {},
        },
        "host_frames": asdict(speed),
        "camera": {"frames": camera.frames, "keypoints_mean": camera.keypoints_mean} | camera.facts,
    }


def write_report(folder: Path, facts: dict[str, Any], camera: CameraFigures) -> None:
    """Write the folder, whole or not at all.

    Raises:
        OutputError: see ``check_report_folder``, or it cannot be written.
    """
    check_report_folder(folder)
    with replacing_folder(folder) as temporary:
        (temporary / JSON_FILE).write_text(json.dumps(facts, indent=2, default=str) + "\n")
        (temporary / TABLE_FILE).write_text(table(facts))
        if camera.last is not None:
            picture = draw_keypoints(camera.last.image, camera.last.features)
            if not cv2.imwrite(str(temporary / PICTURE_FILE), picture):
                raise OutputError(f"{folder}: {PICTURE_FILE} could not be written")


def table(facts: dict[str, Any]) -> str:
    """The figures as a table for ``docs/oak.md``."""
    device, network, own, host = (facts[name] for name in ("device", "network", "camera", "host_frames"))
    what = (
        f"{network['name']} {network['size'][0]}×{network['size'][1]}, {network['heads']}, {network['shaves']} shaves"
    )
    there = f"{device['camera']}, USB {device.get('usb_speed', 'unknown')}"
    rows = [
        ("measured on", there if facts["measured_on"] == "camera" else "NOT A CAMERA: its stand-in on this machine"),
        ("versions", f"oakpoint {facts['oakpoint']}, depthai {device['depthai']}"),
        ("network", what + ("" if network["trained"] else ", RANDOM WEIGHTS")),
        ("parity with the simulator", f"{facts['parity']['verdict']}: {facts['parity']['summary']}"),
        ("rate, frames of the host", f"{host['rate_fps']:.1f} a second"),
        ("latency, frames of the host", f"{host['latency_ms_median']:.1f} ms (95 %: {host['latency_ms_p95']:.1f})"),
        ("rate, camera", _figure(own["rate_fps"], "{:.1f} a second")),
        ("latency, capture to features", _figure(own["latency_ms_median"], "{:.0f} ms")),
        ("95 % of latencies below", _figure(own["latency_ms_p95"], "{:.0f} ms")),
        ("dropped by the host / lost", f"{own['results_dropped_by_host']} / {own['frames_lost']} of {own['frames']}"),
    ]
    return "\n".join(["| what | figure |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)]) + "\n"


def _figure(value: float | None, form: str) -> str:
    return "not measured" if value is None else form.format(value)
