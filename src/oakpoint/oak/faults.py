"""What can be wrong with a camera, in one line each: what was expected, what came, what to do.

The texts of depthai that are looked for were read out of depthai 3.12's library; those marked *seen* in
``tests/unit/oak/test_faults.py`` were also brought about on a machine without a camera.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oakpoint.errors import DeviceError, DeviceLostError
from oakpoint.oak.usb import (
    CONTAINER_OPTIONS,
    IN_USE,
    LIST_COMMAND,
    NOT_PERMITTED,
    UDEV_COMMAND,
    UsbPlaces,
    camera_files,
    closed_files,
    container_refuses,
    has_bus,
)

_LOST = ("Couldn't read data from stream", "Couldn't write data to stream", "Communication exception", "X_LINK_ERROR")
_BUSY = ("already used by another", "used by another process", "connected, but in use", "ALREADY_IN_USE")
_REFUSED = ("Insufficient permissions", "INSUFFICIENT_PERMISSIONS")
_MISSING = ("No available devices", "Cannot find any device", "Failed to find device (")


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A camera as depthai's search lists it.

    Attributes:
        id: its serial number; empty where depthai may not read it.
        name: where it is plugged in, or its address.
        state: ``X_LINK_UNBOOTED``, ``X_LINK_BOOTED``, …
        status: ``X_LINK_SUCCESS``, ``X_LINK_INSUFFICIENT_PERMISSIONS``, …
    """

    id: str
    name: str
    state: str
    status: str

    @property
    def identity(self) -> str:
        """What it is called."""
        return self.id or self.name

    @property
    def permitted(self) -> bool:
        """This user may open it."""
        return not _says(self.status, _REFUSED)

    @property
    def in_use(self) -> bool:
        """Another program has it."""
        return self.state == "X_LINK_BOOTED" or _says(self.status, _BUSY)

    @property
    def free(self) -> bool:
        """This user may open it, and no other program has it."""
        return self.permitted and not self.in_use


def opening_fault(
    reason: str, *, wanted: str | None, seen: Sequence[SeenDevice], places: UsbPlaces | None = None
) -> DeviceError:
    """Why a camera could not be opened.

    What is seen decides only where depthai says that it found nothing, and no camera that it may take is free: any
    other reason is that of the camera that it took, which need not be the one that is in use.

    Args:
        reason: depthai's own words.
        wanted: the id, name or address that was asked for.
        seen: what depthai's search lists.
        places: of Linux' USB devices; None takes this machine's.
    """
    places = places or UsbPlaces()
    which = _called(wanted)
    if _says(reason, _REFUSED):
        return _not_permitted(which, places)
    if _says(reason, _BUSY):
        return _in_use(which)
    chosen = [device for device in seen if wanted in (None, device.id, device.name)]
    if not _says(reason, _MISSING) or any(device.free for device in chosen):
        return DeviceError(f"{which}: cannot be opened ({one_line(reason)}); plug it in again, and try --usb2")
    if chosen:
        return _unavailable(chosen, places)
    if seen:
        there = ", ".join(device.identity for device in seen)
        return DeviceError(f"{which}: not there; there is {there}; choose one with --camera")
    return _not_found(which, places)


def _called(identity: str | None) -> str:
    return f"OAK camera {identity}" if identity else "OAK camera"


def _unavailable(devices: Iterable[SeenDevice], places: UsbPlaces) -> DeviceError:
    """Why none of these can be opened, by the first that may not be, or else the first of all."""
    device = min(devices, key=lambda device: device.permitted)
    which = _called(device.identity)
    return _in_use(which) if device.permitted else _not_permitted(which, places)


def _in_use(which: str) -> DeviceError:
    return DeviceError(f"{which}: {IN_USE}")


def _not_permitted(which: str, places: UsbPlaces) -> DeviceError:
    if container_refuses(places):
        return DeviceError(f"{which}: may not be opened here; start the container with  {CONTAINER_OPTIONS}")
    return DeviceError(f"{which}: {NOT_PERMITTED}; run  {UDEV_COMMAND}  and plug it in again")


def _not_found(which: str, places: UsbPlaces) -> DeviceError:
    """Why nothing is there: no bus, something that is plugged in and cannot be reached, or indeed nothing."""
    if not has_bus(places):
        return DeviceError(f"{which}: this system shows no USB bus; start the container with  {CONTAINER_OPTIONS}")
    files = camera_files(places)
    if closed_files(files):
        return _not_permitted(f"{which} at {closed_files(files)[0]}", places)
    if files:
        return DeviceError(
            f"{which}: DepthAI does not find what is plugged in at {files[0]}; plug it in again, or start "
            f"the container with  {CONTAINER_OPTIONS}"
        )
    return DeviceError(f"{which}: none found; plug it in with a USB 3 cable that carries data, and see  {LIST_COMMAND}")


def running_fault(reason: str, *, advice: str = "other options, or the cable of a USB 3 port") -> DeviceError:
    """Why a camera that was opened failed: lost, or refused what was asked of it.

    Args:
        reason: depthai's own words.
        advice: what to try where it refused.
    """
    if _says(reason, _LOST):
        return DeviceLostError(f"OAK camera: lost while it was running ({one_line(reason)}); check cable and power")
    return DeviceError(f"OAK camera: refused the pipeline ({one_line(reason)}); try {advice}")


def stalled_fault(seconds: float) -> DeviceLostError:
    """A camera that is connected and sends nothing."""
    return DeviceLostError(
        f"OAK camera: expected results, nothing came for {seconds:g} s; plug it in again, try --usb2, or see with "
        "DEPTHAI_LEVEL=warn what its firmware says"
    )


def unpaired_fault(seconds: float) -> DeviceLostError:
    """A camera that sends results, and none of the frames that they belong to."""
    return DeviceLostError(
        f"OAK camera: results come, but for {seconds:g} s none of the frames to show them on; run without --preview, "
        "or with a lower --fps"
    )


def one_line(text: str) -> str:
    """A foreign message in one line of at most 200 characters."""
    return " ".join(text.split())[:200].rstrip(" .")


def _says(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)
