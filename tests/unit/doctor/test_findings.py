from __future__ import annotations

from typing import Any

import pytest

from oakpoint.doctor.compiler import examine_compiler
from oakpoint.doctor.display import examine_display
from oakpoint.doctor.findings import Finding, healthy
from oakpoint.doctor.inference import examine_inference
from oakpoint.doctor.limited import ProbeError
from oakpoint.myriad import toolchain


def finding(state: Any, **changes: Any) -> Finding:
    return Finding(topic="t", name="n", state=state, text="x", **changes)


@pytest.mark.parametrize("state", ["missing", "wrong"])
def test_only_what_is_needed_counts(state: Any) -> None:
    assert healthy([finding("good", needed=True), finding(state)])
    assert not healthy([finding("good", needed=True), finding(state, needed=True)])


def test_a_finding_says_what_can_be_meant() -> None:
    with pytest.raises(ValueError, match="expected one of good, in use, missing, wrong, got 'fine'"):
        finding("fine")
    with pytest.raises(ValueError, match="n: is good, and has a command"):
        finding("good", mend="rm -r /")


CPU = {"name": "CPU", "full_name": "A processor ", "capabilities": ["BF16", "FP32", "INT8", "BIN", "EXPORT_IMPORT"]}


def test_openvinos_devices_and_their_precisions_in_our_words() -> None:
    gpu = {"name": "GPU.0", "full_name": "A card", "capabilities": ["FP32", "FP16"]}
    findings = examine_inference(lambda: [CPU, gpu])
    assert [(f.name, f.state, f.text, f.needed) for f in findings] == [
        ("OpenVINO CPU", "good", "A processor: f32, bf16, int8", True),
        ("OpenVINO GPU.0", "good", "A card: f32, f16", False),
    ]


def test_openvino_without_a_cpu_or_without_an_answer() -> None:
    def silent() -> Any:
        raise ProbeError("gave no answer within 30 s")

    for devices in (silent, list):
        (found,) = examine_inference(devices)
        assert found.state != "good"
        assert found.needed
        assert found.mend == "pip install --force-reinstall openvino"


def test_openvino_itself_has_a_cpu() -> None:
    assert any(f.name == "OpenVINO CPU" and "f32" in f.text for f in examine_inference())


@pytest.mark.parametrize(
    ("environment", "system", "state"),
    [
        ({}, "linux", "missing"), ({"DISPLAY": ""}, "linux", "missing"), ({"DISPLAY": ":0"}, "linux", "good"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", "good"), ({}, "darwin", "good"),
    ],
)  # fmt: skip
def test_a_screen_is_never_needed(environment: dict[str, str], system: str, state: str) -> None:
    (found,) = examine_display(environment, system)
    assert found.state == state
    assert not found.needed


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oakpoint.doctor.compiler.supported_platform", lambda: True)


def test_the_compiler_on_another_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oakpoint.doctor.compiler.supported_platform", lambda: False)
    (found,) = examine_compiler()
    assert (found.state, found.needed) == ("missing", False)


@pytest.mark.usefixtures("linux")
def test_the_compiler_that_was_never_fetched(tmp_path: Any) -> None:
    (found,) = examine_compiler(tmp_path / "cache")
    assert (found.state, found.mend, found.needed) == ("missing", "oakpoint doctor --fetch", False)
    assert not (tmp_path / "cache").exists(), "looking makes nothing"


@pytest.mark.usefixtures("linux")
def test_the_compiler_without_a_place(tmp_path: Any) -> None:
    file = tmp_path / "cache"
    file.touch()
    (found,) = examine_compiler(file)
    assert (found.state, found.needed) == ("wrong", True)
    assert found.mend.startswith("export OAKPOINT_CACHE=")


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("echo 'myriad_compile [OPTIONS]'", "good"),
        ("echo 'myriad_compile: no libusb' >&2; exit 127", "wrong"),
    ],
)
def test_the_compiler_that_starts_and_the_one_that_does_not(tmp_path: Any, script: str, state: str) -> None:
    tools = toolchain.tool_folder(tmp_path)
    tools.mkdir(parents=True)
    program = tools / "myriad_compile"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (found,) = examine_compiler(tmp_path)
    assert (found.state, found.needed) == (state, True)
    if state == "wrong":
        assert "does not start: myriad_compile: no libusb" in found.text
        assert found.mend == f"rm -r '{tools}' && oakpoint doctor --fetch"
