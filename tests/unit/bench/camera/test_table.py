from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oakpoint.bench.camera.table import table

FACTS: dict[str, Any] = {
    "oakpoint": "0.1.0",
    "measured_on": "camera",
    "device": {"camera": "OAK-D", "usb_speed": "SUPER", "depthai": "3.12.0"},
    "options": {"fps": 30.0},
    "network": {"name": "a", "size": [8, 8], "heads": "dense", "shaves": 6, "trained": True},
    "parity": {"verdict": "pass", "summary": "all"},
    "host_frames": {"rate_fps": 10.0, "latency_ms_median": 1.0, "latency_ms_p95": 2.0},
    "camera": {
        "frames": 600,
        "rate_fps": 29.8,
        "latency_ms_median": 40.0,
        "latency_ms_p95": 50.0,
        "results_dropped_by_host": 1,
        "frames_lost": 2,
    },
}


def rows(**changes: Any) -> dict[str, str]:
    lines = table(FACTS | changes).splitlines()[2:]
    return dict(line.strip("|").strip().split(" | ") for line in lines)  # type: ignore[arg-type, misc]


def test_every_figure_has_its_row() -> None:
    assert rows() == {
        "measured on": "OAK-D, USB SUPER",
        "versions": "oakpoint 0.1.0, depthai 3.12.0",
        "network": "a 8×8, dense, 6 shaves",
        "parity with the simulator": "pass: all",
        "rate, frames of the host": "10.0 a second",
        "latency, frames of the host": "1.0 ms (95 %: 2.0)",
        "rate, camera": "29.8 of 30 a second asked for",
        "latency, capture to features": "40 ms",
        "95 % of latencies below": "50 ms",
        "dropped by the host / lost": "1 / 2 of 600",
    }


def test_a_stand_in_is_asked_for_no_rate() -> None:
    told = rows(measured_on="stand-in", device={"camera": "stand-in", "depthai": "3"}, options=None)
    assert told["measured on"] == "NOT A CAMERA: its stand-in on this machine"
    assert told["rate, camera"] == "29.8 a second"


def test_random_weights_are_said() -> None:
    assert rows(network=FACTS["network"] | {"trained": False})["network"].endswith(", RANDOM WEIGHTS")


@pytest.mark.parametrize(
    ("phase", "row"),
    [
        ("parity", "parity with the simulator"),
        ("host_frames", "rate, frames of the host"),
        ("camera", "rate, camera"),
    ],
)
def test_a_phase_that_failed_says_why_in_one_row(phase: str, row: str) -> None:
    told = rows(**{phase: {"error": "lost;\n run  a | b"}})
    assert told.pop(row) == "failed: lost; run a \\| b"
    assert not any("lost;" in text for text in told.values())


def test_a_camera_lost_on_the_way_keeps_its_figures() -> None:
    told = rows(camera=FACTS["camera"] | {"error": "lost"})
    assert told["rate, camera"] == "29.8 of 30 a second asked for, then failed: lost"
    assert told["dropped by the host / lost"] == "1 / 2 of 600"


def test_no_frame_at_all() -> None:
    none = dict.fromkeys(("rate_fps", "latency_ms_median", "latency_ms_p95"))
    told = rows(camera=FACTS["camera"] | none | {"frames": 0})
    assert (told["rate, camera"], told["95 % of latencies below"]) == ("not measured", "not measured")


def test_the_documentation_has_the_same_rows() -> None:
    text = (Path(__file__).parents[4] / "docs" / "oak.md").read_text()
    assert table({}) in text
