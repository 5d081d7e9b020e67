from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from usb_stub import StubUsb

from oakpoint.doctor import probe_depthai
from oakpoint.doctor.cameras import CONTAINER, Camera, DepthAiInProcess, examine_cameras
from oakpoint.doctor.findings import Finding, healthy
from oakpoint.doctor.limited import ProbeError
from oakpoint.oak.runtime import SETTINGS
from oakpoint.oak.usb import UDEV_COMMAND, camera_files

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
def usb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubUsb:
    """A machine without USB devices and without rules, and a user who is not root."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return StubUsb(tmp_path)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_free_camera_is_good_and_says_how_to_learn_its_speed(usb: StubUsb) -> None:
    seam = FakeDepthAi(FREE)
    found = by_name(examine_cameras(seam, places=usb.places))["OAK 1944301"]
    assert (found.state, found.mend) == ("good", "")
    assert "Myriad X (RVC2), 16 SHAVEs, at 1.2" in found.text
    assert "oakpoint doctor --connect" in found.text
    assert not seam.connected


def test_connecting_gives_speed_and_product(usb: StubUsb) -> None:
    camera = Camera(
        id="1944301", name="1.2", link="USB_VSC", state="UNBOOTED", chip="MYRIAD_X", usb_speed="SUPER", product="OAK-D"
    )
    seam = FakeDepthAi(camera)
    found = by_name(examine_cameras(seam, connect=True, places=usb.places))["OAK OAK-D"]
    assert "USB 3, 5 Gbit/s" in found.text
    assert seam.connected


def test_a_camera_of_another_kind(usb: StubUsb) -> None:
    camera = Camera(id="a", name="10.0.0.9", link="TCP_IP", state="BOOTLOADER", chip="RVC4")
    found = by_name(examine_cameras(FakeDepthAi(camera), places=usb.places))["OAK a"]
    assert (found.state, found.text) == ("good", "RVC4, at 10.0.0.9, bootloader")


@pytest.mark.parametrize("link", ["USB_VSC", "TCP_IP"])
def test_a_camera_in_use_has_the_command_that_shows_who_has_it(usb: StubUsb, link: str) -> None:
    file = usb.plug_in()
    camera = Camera(id="a", name="1", link=link, state="BOOTED", chip="MYRIAD_X", in_use=True)
    findings = examine_cameras(FakeDepthAi(camera), places=usb.places)
    found = by_name(findings)["OAK a"]
    assert (found.state, found.mend) == ("in use", f"fuser -v {file}" if link == "USB_VSC" else "")
    assert "in use by another program; end that program, or plug the camera in again" in found.text
    assert healthy(findings)


@pytest.mark.parametrize(("link", "usb2"), [("USB_VSC", True), ("TCP_IP", False)])
def test_a_camera_that_does_not_start_is_tried_again(usb: StubUsb, link: str, usb2: bool) -> None:
    camera = Camera(id="a", name="1", link=link, state="UNBOOTED", chip="MYRIAD_X", error="Failed to boot device!")
    found = by_name(examine_cameras(FakeDepthAi(camera), connect=True, places=usb.places))["OAK a"]
    assert (found.state, found.needed, found.mend) == ("wrong", True, "oakpoint doctor --connect")
    assert "Failed to boot device!; plug it in again" in found.text
    assert ("--usb2" in found.text) is usb2


@pytest.mark.parametrize(("bus", "mend"), [(True, UDEV_COMMAND), (False, CONTAINER)])
def test_a_camera_that_may_not_be_opened_is_needed_and_has_what_opens_it(usb: StubUsb, bus: bool, mend: str) -> None:
    if not bus:
        usb.places.bus.rmdir()
    camera = Camera(id="a", name="1", link="USB_VSC", state="UNBOOTED", chip="MYRIAD_X", permitted=False)
    findings = examine_cameras(FakeDepthAi(camera), places=usb.places)
    found = by_name(findings)["OAK a"]
    assert (found.state, found.needed, found.mend) == ("wrong", True, mend)
    assert not healthy(findings)


def test_the_udev_rule_and_the_containers_options() -> None:
    assert UDEV_COMMAND.startswith('echo \'SUBSYSTEM=="usb", ATTRS{idVendor}=="03e7", MODE="0666"\' | sudo tee ')
    assert CONTAINER == "docker run -v /dev/bus/usb:/dev/bus/usb --device-cgroup-rule='c 189:* rmw' …"


@pytest.mark.parametrize(("bus", "mend"), [(True, "lsusb -d 03e7:"), (False, CONTAINER)])
def test_without_a_camera_nothing_is_wrong(usb: StubUsb, bus: bool, mend: str) -> None:
    if not bus:
        usb.places.bus.rmdir()
    findings = examine_cameras(FakeDepthAi(), places=usb.places)
    assert (by_name(findings)["OAK"].state, by_name(findings)["OAK"].mend) == ("missing", mend)
    assert all(finding.mend for finding in findings)
    assert healthy(findings)


@pytest.mark.parametrize("plugged_in", [False, True])
def test_without_depthai_the_extra_is_named(usb: StubUsb, plugged_in: bool) -> None:
    if plugged_in:
        usb.plug_in()
    findings = examine_cameras(FakeDepthAi(FREE, installed=False), places=usb.places)
    found = by_name(findings)["OAK"]
    assert (found.state, found.mend) == ("missing", "pip install 'oakpoint[oak]'")
    assert ("1 camera(s) plugged in" in found.text) is plugged_in
    assert healthy(findings)


def test_a_search_that_fails_is_wrong_in_one_line(usb: StubUsb) -> None:
    findings = examine_cameras(FakeDepthAi(error="gave no answer within 20 s"), places=usb.places)
    found = by_name(findings)["OAK"]
    assert (found.state, found.text) == ("wrong", "the search for cameras gave no answer within 20 s")
    assert found.mend == "pip install --force-reinstall depthai"


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="udev is Linux'")


def permission(usb: StubUsb) -> Finding:
    return by_name(examine_cameras(FakeDepthAi(), places=usb.places))["USB permission"]


@linux_only
def test_the_permission_of_a_camera_that_is_plugged_in(usb: StubUsb, monkeypatch: pytest.MonkeyPatch) -> None:
    file = usb.plug_in()
    usb.plug_in(vendor="1d6b", number=8)
    assert camera_files(usb.places) == (file,)
    assert permission(usb).state == "good"
    monkeypatch.setattr(os, "access", lambda path, mode: path != file)
    found = permission(usb)
    assert (found.state, found.needed, found.mend) == ("wrong", True, UDEV_COMMAND)
    assert str(file) in found.text


@linux_only
@pytest.mark.parametrize(("plugged_in", "state"), [(False, "missing"), (True, "wrong")])
@pytest.mark.parametrize("user", [0, 1000])
def test_a_container_without_a_bus_needs_its_options_and_no_rule(
    usb: StubUsb, monkeypatch: pytest.MonkeyPatch, plugged_in: bool, state: str, user: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    usb.places.bus.rmdir()
    if plugged_in:
        usb.plug_in()
    found = permission(usb)
    assert (found.state, found.needed, found.mend) == (state, plugged_in, CONTAINER)
    assert str(usb.places.bus) in found.text


@linux_only
def test_a_container_whose_bus_is_older_than_the_camera(usb: StubUsb) -> None:
    usb.plug_in().unlink()
    assert (permission(usb).state, permission(usb).mend) == ("wrong", CONTAINER)


@linux_only
def test_the_rule_is_found_where_udev_looks(usb: StubUsb) -> None:
    assert (permission(usb).state, permission(usb).mend) == ("missing", UDEV_COMMAND)
    (usb.places.rules[0] / "50-other.rules").write_text('ATTRS{idVendor}=="1d6b"\n')
    rule = usb.places.rules[0] / "80-movidius.rules"
    rule.write_text('SUBSYSTEM=="usb", ATTRS{idVendor}=="03E7", MODE="0666"\n')
    assert (permission(usb).state, permission(usb).text) == ("good", f"rule in {rule}")


@linux_only
def test_root_needs_no_rule(usb: StubUsb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (permission(usb).state, permission(usb).mend) == ("good", "")
    assert permission(usb).text == "root may open cameras without a udev rule; other users may not"


def test_a_device_that_vanishes_meanwhile_is_passed_over(usb: StubUsb) -> None:
    usb.plug_in()
    (next(usb.places.devices.iterdir()) / "busnum").unlink()
    assert camera_files(usb.places) == ()


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
        deviceId="1944301", name="1.2", **{key: SimpleNamespace(name=value) for key, value in enum.items()}
    )
    Device.getAllConnectedDevices = staticmethod(lambda: [info])  # type: ignore[attr-defined]
    package = SimpleNamespace(Device=Device)
    return probe_depthai._started(package, "1.2") if connect else probe_depthai._facts(info)


def test_what_the_probe_says_of_a_camera() -> None:
    plain = {"id": "1944301", "name": "1.2", "link": "USB_VSC", "state": "UNBOOTED", "chip": "MYRIAD_X"}
    assert described(connect=False) == plain | {"permitted": True, "in_use": False}
    assert described(connect=False, state="X_LINK_BOOTED")["in_use"] is True
    assert described(connect=False, status="X_LINK_INSUFFICIENT_PERMISSIONS")["permitted"] is False
    assert described(connect=True) == {"usb_speed": "HIGH", "product": "OAK-D-LITE"}
    assert described(connect=True, crash="yes") == {"error": "Failed to boot device!"}


PROBED = {"id": "a", "name": "1.2", "link": "USB_VSC", "state": "UNBOOTED", "chip": "MYRIAD_X"}


@pytest.mark.parametrize(
    ("changes", "started"),
    [({}, True), ({"permitted": False}, False), ({"in_use": True}, False), ({"state": "X"}, False)],
)
def test_only_a_free_camera_is_started(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], started: bool) -> None:
    asked: list[tuple[str, ...]] = []

    def probe(_: str, *arguments: str, limit_s: float) -> Any:
        asked.append(arguments)
        return {"usb_speed": "SUPER"} if arguments else [PROBED | changes]

    monkeypatch.setattr("oakpoint.doctor.cameras.run_probe", probe)
    (camera,) = DepthAiInProcess().cameras(connect=True)
    assert asked == [(), ("1.2",)] if started else [()]
    assert camera.usb_speed == ("SUPER" if started else "")


def test_a_camera_that_hangs_leaves_the_others_their_answers(monkeypatch: pytest.MonkeyPatch, usb: StubUsb) -> None:
    def probe(_: str, *arguments: str, limit_s: float) -> Any:
        if arguments == ("1.2",):
            raise ProbeError(f"gave no answer within {limit_s:.0f} s")
        return {"usb_speed": "SUPER"} if arguments else [PROBED, PROBED | {"name": "1.3"}]

    monkeypatch.setattr("oakpoint.doctor.cameras.run_probe", probe)
    seam = DepthAiInProcess()
    monkeypatch.setattr(seam, "is_installed", lambda: True)
    first, second, *_ = examine_cameras(seam, connect=True, places=usb.places)
    assert (first.state, second.state) == ("wrong", "good")
    assert "gave no answer within 30 s; plug it in again" in first.text


PACKAGE = """
import os
from types import SimpleNamespace

SET = {name: os.environ.get(name) for name in %r}
assert SET == %r, SET

def info(id, state):
    named = {"state": state, "status": "X_LINK_SUCCESS", "protocol": "X_LINK_USB_VSC", "platform": "X_LINK_MYRIAD_X"}
    return SimpleNamespace(deviceId=id, name="1.2", **{key: SimpleNamespace(name=name) for key, name in named.items()})

class Device:
    @staticmethod
    def getAllAvailableDevices():
        return [info("a", "X_LINK_UNBOOTED")]

    @staticmethod
    def getAllConnectedDevices():
        return [info("a", "X_LINK_UNBOOTED"), info("b", "X_LINK_BOOTED")]

__version__ = "3.12"
"""


def test_the_probes_process_is_quiet_and_lists_cameras_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a module in the package's place that is imported with its reports closed, or else fails."""
    (tmp_path / "depthai.py").write_text(PACKAGE % (tuple(SETTINGS), SETTINGS))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    cameras = DepthAiInProcess().cameras(connect=False)
    assert [(camera.id, camera.in_use) for camera in cameras] == [("a", False), ("b", True)]


def test_the_package_itself_answers_in_time() -> None:
    seam = DepthAiInProcess()
    if not seam.is_installed():
        pytest.skip("depthai is not installed")
    assert isinstance(seam.cameras(connect=False), tuple)
