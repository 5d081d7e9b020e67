from __future__ import annotations

import os
from pathlib import Path

import pytest
from usb_stub import StubUsb

from oakpoint.errors import DeviceError, DeviceLostError
from oakpoint.oak.faults import SeenDevice, opening_fault, running_fault, stalled_fault
from oakpoint.oak.usb import CONTAINER_OPTIONS, UDEV_COMMAND

FREE = SeenDevice("14442C10", "1.3", "X_LINK_UNBOOTED", "X_LINK_SUCCESS")
FORBIDDEN = SeenDevice("", "1.4", "X_LINK_UNBOOTED", "X_LINK_INSUFFICIENT_PERMISSIONS")
BOOTED = SeenDevice("1944301", "1.5", "X_LINK_BOOTED", "X_LINK_SUCCESS")
SEEN = "No available devices"  # seen: depthai 3.12 without a camera
SEEN_BY_NAME = "Cannot find any device with given deviceInfo"  # seen: likewise, with an id or a name
BOOT = "Failed to boot device!"
REBOOT = "Failed to find device after booting, error message: X_LINK_DEVICE_NOT_FOUND"


@pytest.fixture
def usb(tmp_path: Path) -> StubUsb:
    return StubUsb(tmp_path)


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.parametrize(
    ("reason", "wanted", "seen", "message"),
    [
        (SEEN, None, [], "OAK camera: none found; plug it in with a USB 3 cable that carries data, and see  lsusb -d"),
        (SEEN_BY_NAME, "1444", [], "OAK camera 1444: none found"),
        (SEEN_BY_NAME, "1444", [FORBIDDEN, BOOTED], "OAK camera 1444: not there; there is 1.4, 1944301; choose one"),
        (SEEN, None, [FORBIDDEN], "OAK camera 1.4: this user may not open it; run  " + UDEV_COMMAND),
        ("Insufficient permissions to communicate with …", None, [], UDEV_COMMAND),
        (SEEN, None, [BOOTED], "OAK camera 1944301: in use by another program"),
        (SEEN_BY_NAME, "1.5", [BOOTED], "OAK camera 1944301: in use by another program"),
        ("No available devices (1 connected, but in use)", None, [], "in use by another program"),
        ("Device is already used by another application/process. Make sure", None, [], "in use by another program"),
        (SEEN, None, [BOOTED, FORBIDDEN], "OAK camera 1.4: this user may not open it"),
        (BOOT, None, [FREE], "OAK camera: cannot be opened (Failed to boot device!); plug it in again, and try --usb2"),
        # Two cameras: the fault is that of the one that was taken, not of the other, which is in use or forbidden.
        (BOOT, None, [BOOTED, FREE], "cannot be opened (Failed to boot device!)"),
        (BOOT, None, [FORBIDDEN], "cannot be opened (Failed to boot device!)"),
        (REBOOT, None, [BOOTED], "cannot be opened (Failed to find device after booting"),
        (SEEN, None, [BOOTED, FREE], "cannot be opened (No available devices)"),
    ],
)  # fmt: skip
def test_each_reason_has_its_own_line(
    usb: StubUsb, reason: str, wanted: str | None, seen: list[SeenDevice], message: str
) -> None:
    fault = opening_fault(reason, wanted=wanted, seen=seen, places=usb.places)
    assert type(fault) is DeviceError
    assert message in str(fault)
    assert "\n" not in str(fault)


def test_a_camera_that_is_plugged_in_and_not_listed(usb: StubUsb, monkeypatch: pytest.MonkeyPatch) -> None:
    file = usb.plug_in()
    assert f"DepthAI does not find what is plugged in at {file}; plug it" in str(
        opening_fault(SEEN, wanted=None, seen=[], places=usb.places)
    )
    monkeypatch.setattr(os, "access", lambda path, mode: path != file)
    fault = opening_fault(SEEN, wanted=None, seen=[], places=usb.places)
    assert str(fault).startswith(f"OAK camera at {file}: this user may not open it; run  {UDEV_COMMAND}")


def test_other_usb_devices_are_no_camera(usb: StubUsb) -> None:
    usb.plug_in(vendor="046d")
    assert "none found" in str(opening_fault(SEEN, wanted=None, seen=[], places=usb.places))


def test_a_container_without_a_usb_bus_is_told_its_options(usb: StubUsb) -> None:
    usb.places.bus.rmdir()
    for reason, seen in ((SEEN, []), (SEEN, [FORBIDDEN]), ("Insufficient permissions to …", [])):
        fault = str(opening_fault(reason, wanted=None, seen=seen, places=usb.places))
        assert CONTAINER_OPTIONS in fault
        assert "sudo" not in fault


def test_no_rule_helps_whom_the_container_refuses(usb: StubUsb, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = "Insufficient permissions to communicate with …"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert CONTAINER_OPTIONS in str(opening_fault(refused, wanted=None, seen=[], places=usb.places))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    usb.plug_in()  # its file is open to us
    assert CONTAINER_OPTIONS in str(opening_fault(refused, wanted=None, seen=[], places=usb.places))


@pytest.mark.parametrize(
    ("reason", "lost"),
    [
        ("Couldn't read data from stream: '__x_0_out' (X_LINK_ERROR)", True),
        ("Communication exception - possible device error/misconfiguration. Original message '…'", True),
        ("Invalid sensor resolution specified", False),
    ],
)
def test_running_faults_tell_loss_from_refusal(reason: str, lost: bool) -> None:
    fault = running_fault(reason)
    assert isinstance(fault, DeviceLostError) is lost
    assert ("check cable and power" in str(fault)) is lost
    assert reason[:20] in str(fault)


def test_a_stall_is_a_loss() -> None:
    assert isinstance(stalled_fault(15), DeviceLostError)
    assert "nothing came for 15 s" in str(stalled_fault(15))
