"""OpenVINO's devices and the arithmetic that they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oakpoint.doctor.findings import Finding
from oakpoint.doctor.limited import ProbeError, run_probe

TOPIC = "inference"
LIMIT_S = 30.0
PRECISIONS = {"FP32": "f32", "BF16": "bf16", "FP16": "f16", "INT8": "int8"}
"""OpenVINO's names and those of ``--precision``."""

REINSTALL = "pip install --force-reinstall openvino"


def openvino_devices() -> list[dict[str, Any]]:
    """Name, full name and capabilities of each device.

    Raises:
        ProbeError: OpenVINO gives no answer.
    """
    found: list[dict[str, Any]] = run_probe("oakpoint.doctor.probe_openvino", limit_s=LIMIT_S)
    return found


def examine_inference(devices: Callable[[], list[dict[str, Any]]] = openvino_devices) -> list[Finding]:
    """One finding for each device; the CPU is needed."""
    try:
        found = devices()
    except ProbeError as error:
        text = f"its devices cannot be listed: it {error}"
        return [Finding(topic=TOPIC, name="OpenVINO", state="wrong", text=text, mend=REINSTALL, needed=True)]
    findings = [
        Finding(
            topic=TOPIC,
            name=f"OpenVINO {device['name']}",
            state="good",
            text=f"{str(device['full_name']).strip()}: "
            + ", ".join(ours for theirs, ours in PRECISIONS.items() if theirs in device["capabilities"]),
            needed=device["name"] == "CPU",
        )
        for device in found
    ]
    if not any(device["name"] == "CPU" for device in found):
        findings.append(
            Finding(topic=TOPIC, name="OpenVINO CPU", state="missing", text="not found", mend=REINSTALL, needed=True)
        )
    return findings
