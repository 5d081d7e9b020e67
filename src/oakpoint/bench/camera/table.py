"""The figures of a camera's report as a table: its rows, and as Markdown for ``docs/oak.md``."""

from __future__ import annotations

from typing import Any

from oakpoint.bench.camera.phases import INTERRUPTED
from oakpoint.bench.markdown import markdown_table

NOT_MEASURED = "not measured"

Facts = dict[str, Any]


def rows(facts: Facts) -> list[tuple[str, str]]:
    """What was measured, and the figure.

    Args:
        facts: from ``report_facts``; what is missing was not measured.
    """
    parity, host, own = (facts.get(phase) or {} for phase in ("parity", "host_frames", "camera"))
    asked_fps = (facts.get("options") or {}).get("fps")
    return [
        ("measured on", _measured_on(facts)),
        ("versions", _text(facts, "oakpoint {oakpoint}, depthai {device[depthai]}")),
        ("network", _network(facts.get("network"))),
        ("parity with the simulator", _outcome(parity, "{verdict}: {summary}")),
        ("rate, frames of the host", _outcome(host, "{rate_fps:.1f} a second")),
        ("latency, frames of the host", _text(host, "{latency_ms_median:.1f} ms (95 %: {latency_ms_p95:.1f})")),
        ("rate, camera", _outcome(own, "{rate_fps:.1f} " + _asked(asked_fps))),
        ("latency, capture to features", _text(own, "{latency_ms_median:.0f} ms")),
        ("95 % of latencies below", _text(own, "{latency_ms_p95:.0f} ms")),
        ("dropped by the host / lost", _text(own, "{results_dropped_by_host} / {frames_lost} of {frames}")),
    ]


def table(facts: Facts) -> str:
    """The table of a report, as Markdown; see ``rows``."""
    return markdown_table(("what", "figure"), rows(facts))


def _measured_on(facts: Facts) -> str:
    if facts.get("measured_on") == "stand-in":
        return "NOT A CAMERA: its stand-in on this machine"
    return _text(facts, "{device[camera]}, USB {device[usb_speed]}")


def _network(network: Facts | None) -> str:
    if network is None:
        return NOT_MEASURED
    text = "{name} {size[0]}×{size[1]}, {heads}, {shaves} shaves".format(**network)
    if network.get("in_two"):
        text += ", the rest of it on the host"
    return text if network["trained"] else f"{text}, RANDOM WEIGHTS"


def _asked(fps: float | None) -> str:
    """A camera is no faster than it was asked to be; a stand-in is not asked."""
    return "a second" if fps is None else f"of {fps:g} a second asked for"


def _outcome(phase: Facts, form: str) -> str:
    """A phase's first figure, and why there is none, or no more of them."""
    text, error = _text(phase, form), phase.get("error")
    if error is None:
        return text
    end = INTERRUPTED if error == INTERRUPTED else f"failed: {error}"
    return end if text == NOT_MEASURED else f"{text}, then {end}"


def _text(facts: Facts, form: str) -> str:
    """The form filled in; not measured, where a figure of it is missing or None."""
    try:
        return form.format(**facts)
    except (KeyError, TypeError):  # a form such as «.1f» has no None
        return NOT_MEASURED
