"""USB as Linux shows it: which cameras are plugged in, and what keeps a user from opening them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

VENDOR = "03e7"
"""Intel Movidius, under which an OAK camera shows itself on USB."""

LIST_COMMAND = f"lsusb -d {VENDOR}:"
"""Shows whether a camera is plugged in."""

UDEV_COMMAND = (
    f"""echo 'SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{VENDOR}", MODE="0666"' | """
    "sudo tee /etc/udev/rules.d/80-movidius.rules && sudo udevadm control --reload-rules && sudo udevadm trigger"
)
"""Lets every user open OAK cameras. Source: docs.luxonis.com, «udev rules on Linux»."""

CONTAINER_OPTIONS = "-v /dev/bus/usb:/dev/bus/usb --device-cgroup-rule='c 189:* rmw'"
"""Let a container open OAK cameras. Source: what depthai 3.12 logs where there is no USB bus."""

IN_USE = "in use by another program; end that program, or plug the camera in again"
NOT_PERMITTED = "this user may not open it"
"""What is wrong with a camera, in the same words wherever it is said."""

_RULES = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")


@dataclass(frozen=True, slots=True)
class UsbPlaces:
    """Where Linux lists USB devices, where programs open them, and where udev's rules are; tests take their own."""

    devices: Path = Path("/sys/bus/usb/devices")
    bus: Path = Path("/dev/bus/usb")
    rules: tuple[Path, ...] = tuple(map(Path, _RULES))


def has_bus(places: UsbPlaces) -> bool:
    """Whether programs can open USB devices at all; a container has no bus unless it is given one."""
    return sys.platform != "linux" or places.bus.is_dir()


def camera_files(places: UsbPlaces) -> tuple[Path, ...]:
    """Device files of the cameras that are plugged in, whether they are there or not; none on other systems."""
    files = []
    for device in sorted(path.parent for path in places.devices.glob("*/idVendor")):
        if _text(device / "idVendor").strip() == VENDOR:
            bus, number = (_text(device / name).strip() for name in ("busnum", "devnum"))
            if bus and number:  # not unplugged meanwhile
                files.append(places.bus / f"{int(bus):03d}" / f"{int(number):03d}")
    return tuple(files)


def closed_files(files: Iterable[Path]) -> tuple[Path, ...]:
    """Those that are there and that this user may not open."""
    return tuple(file for file in files if file.exists() and not os.access(file, os.W_OK))


def udev_rule(places: UsbPlaces) -> Path | None:
    """The file with a rule for OAK cameras."""
    files = (path for folder in places.rules for path in sorted(folder.glob("*.rules")))
    return next((path for path in files if VENDOR in _text(path).lower()), None)


def is_root() -> bool:
    """Whether this user may open every device file, whatever udev's rules say."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def container_refuses(places: UsbPlaces) -> bool:
    """Whether it is a container that keeps a camera from being opened: no file is there that is closed to this user."""
    if not has_bus(places):
        return True
    files = camera_files(places)
    return not closed_files(files) if files else is_root()


def _text(path: Path) -> str:
    """The content of a small file; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
