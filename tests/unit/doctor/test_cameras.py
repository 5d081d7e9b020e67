from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oakpoint.doctor import cameras, probe_depthai
from oakpoint.doctor.cameras import UDEV_MEND, Camera, DepthAiInProcess, UsbPlaces, examine_cameras
from oakpoint.doctor.findings import Finding, healthy
from oakpoint.doctor.limited import ProbeError

FREE = Camera(id="1944301", name="1.2", link="USB_VSC", state="UNBOOTED", chip="MYRIAD_X")


class FakeDepthAi:
    """The seam, with what it is to answer."""

    def __init__(self, *found: Camera, installed: bool = True, error: str = "") -> None:
        self._found, self._installed, self._error = found, installed, error
        self.connected = False

    def is_installed(self) -> bool:
        return self._installed

    def cameras(self, *, connect: bool) -> tuple[Camera, ...]:
        self.connected = connect
        if self._error:
            raise ProbeError(self._error)
        return self._found


@pytest.fixture
def places(tmp_path: Path) -> UsbPlaces:
    """A machine without USB devices and without rules."""
    made = [tmp_path / name for name in ("devices", "nodes", "rules")]
    for folder in made:
        folder.mkdir()
    return UsbPlaces(made[0], made[1], (made[2],))


def plug_in(places: UsbPlaces, *, vendor: str = "03e7", bus: int = 1, number: int = 7) -> Path:
    device = places.devices / f"{bus}-{number}"
    device.mkdir()
    for name, value in (("idVendor", vendor), ("busnum", str(bus)), ("devnum", str(number))):
        (device / name).write_text(f"{value}\n")
    node = places.nodes / f"{bus:03d}" / f"{number:03d}"
    node.parent.mkdir(exist_ok=True)
    node.touch()
    return node


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_free_camera_is_good_and_says_how_to_learn_its_speed(places: UsbPlaces) -> None:
    seam = FakeDepthAi(FREE)
    found = by_name(examine_cameras(seam, places=places))["OAK 1944301"]
    assert (found.state, found.mend) == ("good", "")
    assert "Myriad X (RVC2), 16 SHAVEs, at 1.2" in found.text
    assert "oakpoint doctor --connect" in found.text
    assert not seam.connected


def test_connecting_gives_speed_and_product(places: UsbPlaces) -> None:
    camera = Camera(
        id="1944301", name="1.2", link="USB_VSC", state="UNBOOTED", chip="MYRIAD_X", usb_speed="SUPER", product="OAK-D"
    )
    seam = FakeDepthAi(camera)
    found = by_name(examine_cameras(seam, connect=True, places=places))["OAK OAK-D"]
    assert "USB 3, 5 Gbit/s" in found.text
    assert seam.connected


@pytest.mark.parametrize(
    ("camera", "state", "text"),
    [
        (
            Camera(id="a", name="1", link="USB_VSC", state="BOOTED", chip="MYRIAD_X"),
            "good",
            "in use by another program",
        ),
        (Camera(id="a", name="1", link="TCP_IP", state="UNBOOTED", chip="RVC4"), "good", "RVC4, at 1"),
        (Camera(id="a", name="1", link="U", state="UNBOOTED", chip="MYRIAD_X", error="no moon"), "wrong", "no moon"),
    ],
)
def test_other_cameras(places: UsbPlaces, camera: Camera, state: str, text: str) -> None:
    found = by_name(examine_cameras(FakeDepthAi(camera), places=places))["OAK a"]
    assert found.state == state
    assert text in found.text


def test_a_camera_that_may_not_be_opened_is_needed_and_has_the_udev_rule(places: UsbPlaces) -> None:
    camera = Camera(id="a", name="1", link="USB_VSC", state="UNBOOTED", chip="MYRIAD_X", permitted=False)
    findings = examine_cameras(FakeDepthAi(camera), places=places)
    found = by_name(findings)["OAK a"]
    assert (found.state, found.needed, found.mend) == ("wrong", True, UDEV_MEND)
    assert not healthy(findings)
    assert UDEV_MEND.startswith('echo \'SUBSYSTEM=="usb", ATTRS{idVendor}=="03e7", MODE="0666"\' | sudo tee ')


def test_without_a_camera_nothing_is_wrong(places: UsbPlaces) -> None:
    findings = examine_cameras(FakeDepthAi(), places=places)
    assert by_name(findings)["OAK"].state == "missing"
    assert healthy(findings)


@pytest.mark.parametrize("plugged_in", [False, True])
def test_without_depthai_the_extra_is_named(places: UsbPlaces, plugged_in: bool) -> None:
    if plugged_in:
        plug_in(places)
    findings = examine_cameras(FakeDepthAi(FREE, installed=False), places=places)
    found = by_name(findings)["OAK"]
    assert (found.state, found.mend) == ("missing", "pip install 'oakpoint[oak]'")
    assert ("1 camera(s) plugged in" in found.text) is plugged_in
    assert healthy(findings)


def test_a_search_that_fails_is_wrong_in_one_line(places: UsbPlaces) -> None:
    findings = examine_cameras(FakeDepthAi(error="gave no answer within 20 s"), places=places)
    found = by_name(findings)["OAK"]
    assert (found.state, found.text) == ("wrong", "the search for cameras gave no answer within 20 s")


@pytest.mark.skipif(sys.platform != "linux", reason="udev is Linux'")
def test_the_permission_of_a_camera_that_is_plugged_in(places: UsbPlaces, monkeypatch: pytest.MonkeyPatch) -> None:
    node = plug_in(places)
    plug_in(places, vendor="1d6b", number=8)
    assert cameras.usb_nodes(places) == (node,)
    permission = by_name(examine_cameras(FakeDepthAi(), places=places))["USB permission"]
    assert permission.state == "good"
    monkeypatch.setattr(os, "access", lambda path, mode: path != node)
    findings = examine_cameras(FakeDepthAi(), places=places)
    permission = by_name(findings)["USB permission"]
    assert (permission.state, permission.mend) == ("wrong", UDEV_MEND)
    assert str(node) in permission.text
    assert not healthy(findings)


@pytest.mark.skipif(sys.platform != "linux", reason="udev is Linux'")
def test_the_rule_is_found_where_udev_looks(places: UsbPlaces) -> None:
    assert by_name(examine_cameras(FakeDepthAi(), places=places))["USB permission"].state == "missing"
    (places.rules[0] / "50-other.rules").write_text('ATTRS{idVendor}=="1d6b"\n')
    rule = places.rules[0] / "80-movidius.rules"
    rule.write_text('SUBSYSTEM=="usb", ATTRS{idVendor}=="03E7", MODE="0666"\n')
    permission = by_name(examine_cameras(FakeDepthAi(), places=places))["USB permission"]
    assert (permission.state, permission.text) == ("good", f"rule in {rule}")


def test_a_device_that_vanishes_meanwhile_is_passed_over(places: UsbPlaces) -> None:
    plug_in(places)
    (next(places.devices.iterdir()) / "busnum").unlink()
    assert cameras.usb_nodes(places) == ()


def described(*, connect: bool, **changes: Any) -> dict[str, Any]:
    """What the probe makes of a camera, with objects in the place of the depthai package's."""
    enum = {"protocol": "X_LINK_USB_VSC", "state": "X_LINK_UNBOOTED", "platform": "X_LINK_MYRIAD_X"}
    enum |= {"status": "X_LINK_SUCCESS"} | changes

    class Device(contextlib.AbstractContextManager["Device"]):
        def __init__(self, _: object) -> None:
            if "crash" in changes:
                raise RuntimeError("Failed to boot device!\nsecond line")

        def __exit__(self, *_: object) -> None: ...

        def getUsbSpeed(self) -> Any:
            return SimpleNamespace(name="HIGH")

        def getProductName(self) -> str:
            return "OAK-D-LITE"

    info = SimpleNamespace(
        getDeviceId=lambda: "1944301", name="1.2", **{key: SimpleNamespace(name=value) for key, value in enum.items()}
    )
    return probe_depthai._facts(SimpleNamespace(Device=Device), info, connect=connect)


def test_the_probe_starts_a_camera_only_when_asked_and_when_it_is_free() -> None:
    plain = {"id": "1944301", "name": "1.2", "link": "USB_VSC", "state": "UNBOOTED", "chip": "MYRIAD_X"}
    assert described(connect=False) == plain | {"permitted": True}
    started = described(connect=True)
    assert (started["usb_speed"], started["product"]) == ("HIGH", "OAK-D-LITE")
    assert "usb_speed" not in described(connect=True, state="X_LINK_BOOTED")
    closed = described(connect=True, status="X_LINK_INSUFFICIENT_PERMISSIONS")
    assert closed["permitted"] is False
    assert "usb_speed" not in closed
    assert described(connect=True, crash="yes")["error"] == "Failed to boot device!"
    assert set(started) <= {field.name for field in fields(Camera)}


def test_the_package_itself_answers_in_time() -> None:
    seam = DepthAiInProcess()
    if not seam.is_installed():
        pytest.skip("depthai is not installed")
    assert isinstance(seam.cameras(connect=False), tuple)
