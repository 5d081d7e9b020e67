"""What can be wrong with a camera, in one line each: what was expected, what came, what to do.

The texts of depthai that are looked for were read out of depthai 3.12's library; those marked *seen* in
``tests/unit/oak/test_faults.py`` were also brought about on a machine without a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oakpoint.errors import DeviceError, DeviceLostError

UDEV_COMMAND = (
    """echo 'SUBSYSTEM=="usb", ATTRS{idVendor}=="03e7", MODE="0666"' | sudo tee /etc/udev/rules.d/80-movidius.rules """
    "&& sudo udevadm control --reload-rules && sudo udevadm trigger"
)
"""Lets every user open OAK cameras. Source: docs.luxonis.com, «udev rules on Linux»."""

CONTAINER_OPTIONS = "-v /dev/bus/usb:/dev/bus/usb --device-cgroup-rule='c 189:* rmw'"

MOVIDIUS_VENDOR = "03e7"
USB_DEVICES = Path("/sys/bus/usb/devices")
USB_BUS = Path("/dev/bus/usb")

_LOST = ("Couldn't read data from stream", "Couldn't write data to stream", "Communication exception", "X_LINK_ERROR")
_BUSY = ("already used by another", "used by another process", "connected, but in use", "ALREADY_IN_USE")
_NOT_PERMITTED = ("Insufficient permissions", "INSUFFICIENT_PERMISSIONS")
_MISSING = ("No available devices", "Cannot find any device", "Failed to find device", "DEVICE_NOT_FOUND")


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A camera as depthai's search lists it.

    Attributes:
        identity: its id, or its USB name where depthai may not read the id.
        state: ``X_LINK_UNBOOTED``, ``X_LINK_BOOTED``, …
        status: ``X_LINK_SUCCESS``, ``X_LINK_INSUFFICIENT_PERMISSIONS``, …
    """

    identity: str
    state: str
    status: str


def opening_fault(
    reason: str,
    *,
    wanted: str | None,
    seen: Sequence[SeenDevice],
    usb_devices: Path = USB_DEVICES,
    usb_bus: Path = USB_BUS,
) -> DeviceError:
    """Why a camera could not be opened.

    Args:
        reason: depthai's own words.
        wanted: the id, name or address that was asked for.
        seen: what depthai's search lists.
        usb_devices: where Linux lists the USB devices that are plugged in.
        usb_bus: where programs open them.
    """
    which = f"OAK camera {wanted}" if wanted else "OAK camera"
    chosen = [device for device in seen if wanted in (None, device.identity)]
    if _says(reason, _NOT_PERMITTED) or any(_says(device.status, _NOT_PERMITTED) for device in chosen):
        return DeviceError(f"{which}: this user may not open it; run  {UDEV_COMMAND}  and plug it in again")
    if _says(reason, _BUSY) or any(_in_use(device) for device in chosen):
        return DeviceError(f"{which}: in use by another program; end that program, or plug the camera in again")
    if not _says(reason, _MISSING):
        return DeviceError(f"{which}: cannot be opened ({one_line(reason)}); plug it in again, and try --usb2")
    if wanted and seen:
        there = ", ".join(device.identity for device in seen)
        return DeviceError(f"{which}: not there; there is {there}; choose one with --camera")
    plugged_in = _movidius_plugged_in(usb_devices)
    if plugged_in and usb_bus.is_dir():
        return DeviceError(
            f"{which}: plugged in, but this user may not open it; run  {UDEV_COMMAND}  and plug it in again"
        )
    if not usb_bus.is_dir():
        return DeviceError(f"{which}: this system shows no USB bus; start the container with  {CONTAINER_OPTIONS}")
    return DeviceError(f"{which}: none found; plug it in with a USB 3 cable that carries data, and see  lsusb -d 03e7:")


def running_fault(reason: str) -> DeviceError:
    """Why a camera that was opened failed: lost, or refused what was asked of it."""
    if _says(reason, _LOST):
        return DeviceLostError(
            f"OAK camera: lost while it was running ({one_line(reason)}); check cable and power, or use --reconnect"
        )
    return DeviceError(f"OAK camera: refused the pipeline ({one_line(reason)}); try other --fps, --preview or --socket")


def stalled_fault(seconds: float) -> DeviceLostError:
    """A camera that is connected and sends nothing."""
    return DeviceLostError(
        f"OAK camera: expected results, nothing came for {seconds:g} s; plug it in again, try --usb2, or --reconnect"
    )


def one_line(text: str) -> str:
    """A foreign message in one line of at most 200 characters."""
    return " ".join(text.split())[:200].rstrip(" .")


def _says(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)


def _in_use(device: SeenDevice) -> bool:
    return _says(device.status, _BUSY) or device.state == "X_LINK_BOOTED"


def _movidius_plugged_in(usb_devices: Path) -> bool:
    try:
        return any(path.read_text().strip() == MOVIDIUS_VENDOR for path in usb_devices.glob("*/idVendor"))
    except OSError:
        return False
