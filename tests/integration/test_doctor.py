"""``oakpoint doctor`` as a user calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from oakpoint.cli import doctor
from oakpoint.doctor.findings import Finding

GOOD = Finding(topic="versions", name="Python", state="good", text="3.12", needed=True)
ABSENT = Finding(topic="camera", name="OAK", state="missing", text="none found", mend="pip install 'oakpoint[oak]'")
BUSY = Finding(topic="camera", name="OAK a", state="in use", text="another program", mend="fuser -v x")
BROKEN = Finding(topic="compiler", name="myriad", state="wrong", text="does not start", mend="rm -r x", needed=True)


def put(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> dict[str, Any]:
    asked: dict[str, Any] = {}

    def examine(**options: Any) -> tuple[Finding, ...]:
        asked.update(options)
        return findings

    monkeypatch.setattr(doctor, "examine", examine)
    return asked


@pytest.mark.parametrize(("findings", "code"), [((GOOD, ABSENT, BUSY), 0), ((GOOD, ABSENT, BROKEN), 1)])
def test_each_line_with_its_command_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any], findings: tuple[Finding, ...], code: int
) -> None:
    asked = put(monkeypatch, *findings)
    ran = command("doctor")
    assert (ran.code, asked) == (code, {"connect": False})
    lines = ran.out.splitlines()
    assert "  good     Python  3.12" in lines
    assert "  missing  OAK     none found" in lines
    assert lines[lines.index("  missing  OAK     none found") + 1].strip() == "→ pip install 'oakpoint[oak]'"
    ran = command("doctor", "--json", "--connect")
    facts = json.loads(ran.out)
    assert ran.code == code
    assert facts["healthy"] is (code == 0)
    assert asked == {"connect": True}
    assert [f["state"] for f in facts["findings"]] == [finding.state for finding in findings]
    assert set(facts["findings"][0]) == {"topic", "name", "state", "text", "mend", "needed"}


def test_this_machine_without_a_traceback(command: Callable[..., Any]) -> None:
    ran = command("doctor", "--json")
    facts = json.loads(ran.out)
    assert ran.code in (0, 1)
    assert {f["topic"] for f in facts["findings"]} == {"versions", "compiler", "inference", "camera", "display"}
    assert all("\n" not in finding["text"] for finding in facts["findings"])
    assert all(finding["mend"] == "" for finding in facts["findings"] if finding["state"] == "good")


def test_depthai_and_openvino_are_never_loaded_into_this_process() -> None:
    code = (
        "import sys; from oakpoint.doctor.examination import examine; examine(); "
        "sys.exit(any(name in sys.modules for name in ('depthai', 'openvino', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=300).returncode == 0
