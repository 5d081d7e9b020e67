from __future__ import annotations

from pathlib import Path

import pytest

from oakpoint.errors import DeviceError, DeviceLostError
from oakpoint.oak.faults import CONTAINER_OPTIONS, UDEV_COMMAND, SeenDevice, opening_fault, running_fault, stalled_fault

UNBOOTED = SeenDevice("1.3", "X_LINK_UNBOOTED", "X_LINK_SUCCESS")
FORBIDDEN = SeenDevice("1.3", "X_LINK_UNBOOTED", "X_LINK_INSUFFICIENT_PERMISSIONS")
BOOTED = SeenDevice("14442C10", "X_LINK_BOOTED", "X_LINK_SUCCESS")
SEEN = "No available devices"  # seen: depthai 3.12 without a camera
SEEN_BY_NAME = "Cannot find any device with given deviceInfo"  # seen: likewise, with an id


@pytest.fixture
def bus(tmp_path: Path) -> Path:
    path = tmp_path / "bus"
    path.mkdir()
    return path


def plugged_in(folder: Path, vendor: str) -> Path:
    (folder / "1-3").mkdir(parents=True)
    (folder / "1-3" / "idVendor").write_text(f"{vendor}\n")
    return folder


@pytest.mark.parametrize(
    ("reason", "wanted", "seen", "message"),
    [
        (SEEN, None, [], "OAK camera: none found; plug it in with a USB 3 cable"),
        (SEEN_BY_NAME, "14442C10", [], "OAK camera 14442C10: none found"),
        (
            SEEN_BY_NAME,
            "14442C10",
            [UNBOOTED],
            "OAK camera 14442C10: not there; there is 1.3; choose one with --camera",
        ),
        (SEEN, None, [FORBIDDEN], "this user may not open it; run  " + UDEV_COMMAND),
        ("Insufficient permissions to communicate with …", None, [], UDEV_COMMAND),
        (SEEN, None, [BOOTED], "in use by another program"),
        ("No available devices (1 connected, but in use)", None, [], "in use by another program"),
        ("Device is already used by another application/process. Make sure", None, [], "in use by another program"),
        ("Failed to find device after booting, error message: X_LINK_DEVICE_NOT_FOUND", None, [], "none found"),
        ("Failed to boot device!", None, [UNBOOTED], "cannot be opened (Failed to boot device!); plug it in again"),
    ],
)
def test_each_reason_has_its_own_line(
    bus: Path, tmp_path: Path, reason: str, wanted: str | None, seen: list[SeenDevice], message: str
) -> None:
    fault = opening_fault(reason, wanted=wanted, seen=seen, usb_devices=tmp_path / "none", usb_bus=bus)
    assert type(fault) is DeviceError
    assert message in str(fault)
    assert "\n" not in str(fault)


def test_a_camera_that_is_plugged_in_and_not_listed_is_a_matter_of_permission(bus: Path, tmp_path: Path) -> None:
    devices = plugged_in(tmp_path / "devices", "03e7")
    fault = opening_fault(SEEN, wanted=None, seen=[], usb_devices=devices, usb_bus=bus)
    assert "plugged in, but this user may not open it" in str(fault)
    assert UDEV_COMMAND in str(fault)


def test_other_usb_devices_are_no_camera(bus: Path, tmp_path: Path) -> None:
    devices = plugged_in(tmp_path / "devices", "046d")
    assert "none found" in str(opening_fault(SEEN, wanted=None, seen=[], usb_devices=devices, usb_bus=bus))


def test_a_container_without_a_usb_bus_is_told_its_options(tmp_path: Path) -> None:
    fault = opening_fault(SEEN, wanted=None, seen=[], usb_devices=tmp_path, usb_bus=tmp_path / "none")
    assert CONTAINER_OPTIONS in str(fault)


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
    assert ("--reconnect" in str(fault)) is lost
    assert reason[:20] in str(fault)


def test_a_stall_is_a_loss() -> None:
    assert isinstance(stalled_fault(15), DeviceLostError)
    assert "nothing came for 15 s" in str(stalled_fault(15))
