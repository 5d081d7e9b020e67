"""OAK cameras: which there are, and whether this user may open them.

``DepthAi`` is the seam: everything that touches the depthai package lies behind it, and tests put a list in its place.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

from oakpoint.doctor.findings import Finding
from oakpoint.doctor.limited import ProbeError, run_probe

TOPIC = "camera"
SEARCH_LIMIT_S, CONNECT_LIMIT_S = 20.0, 60.0

VENDOR = "03e7"
"""Intel Movidius, under which an OAK camera shows itself on USB."""

UDEV_FOLDERS = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")
UDEV_MEND = (
    f"""echo 'SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{VENDOR}", MODE="0666"' | """
    "sudo tee /etc/udev/rules.d/80-movidius.rules && sudo udevadm control --reload-rules && sudo udevadm trigger"
)
"""Source: Luxonis' documentation, «Troubleshooting», udev rules on Linux."""

INSTALL = "pip install 'oakpoint[oak]'"
CONNECT = "oakpoint doctor --connect"
CHIPS = {"MYRIAD_X": "Myriad X (RVC2), 16 SHAVEs", "KEEMBAY": "Keem Bay (RVC3)", "RVC4": "RVC4"}
SPEEDS = {
    "LOW": "USB 1", "FULL": "USB 1", "HIGH": "USB 2, 480 Mbit/s", "SUPER": "USB 3, 5 Gbit/s",
    "SUPER_PLUS": "USB 3, 10 Gbit/s",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera as DepthAI sees it.

    Attributes:
        id, name: its serial number, and where it is plugged in (or its address).
        link: ``USB_VSC`` or ``TCP_IP`` and the like.
        state: ``UNBOOTED`` is free; ``BOOTED`` is in use by another program.
        chip: as DepthAI names it: ``MYRIAD_X``.
        permitted: this user may open it.
        usb_speed, product: known only when it was started.
        error: why it could not be started.
    """

    id: str
    name: str
    link: str
    state: str
    chip: str
    permitted: bool = True
    usb_speed: str = ""
    product: str = ""
    error: str = ""


class DepthAi(Protocol):
    """What is asked of the depthai package."""

    def is_installed(self) -> bool:
        """Whether the package is there."""

    def cameras(self, *, connect: bool) -> tuple[Camera, ...]:
        """Search for cameras; ``connect`` also starts the free ones, to learn more of them.

        Raises:
            ProbeError: the package fails, or takes too long.
        """


class DepthAiInProcess:
    """The depthai package, in a process of its own with a limit in time: a search may hang, and may crash."""

    def is_installed(self) -> bool:
        """Whether the package is there; it is not imported."""
        return importlib.util.find_spec("depthai") is not None

    def cameras(self, *, connect: bool) -> tuple[Camera, ...]:
        """See ``DepthAi``."""
        limit_s = CONNECT_LIMIT_S if connect else SEARCH_LIMIT_S
        found = run_probe("oakpoint.doctor.probe_depthai", *(["connect"] if connect else []), limit_s=limit_s)
        known = {field.name for field in fields(Camera)}
        return tuple(Camera(**{k: v for k, v in facts.items() if k in known}) for facts in found["cameras"])


@dataclass(frozen=True, slots=True)
class UsbPlaces:
    """Where Linux shows USB devices and keeps udev's rules; tests take folders of their own."""

    devices: Path = Path("/sys/bus/usb/devices")
    nodes: Path = Path("/dev/bus/usb")
    rules: tuple[Path, ...] = tuple(map(Path, UDEV_FOLDERS))


def examine_cameras(depthai: DepthAi, *, connect: bool = False, places: UsbPlaces | None = None) -> list[Finding]:
    """One finding for the search, or for each camera, and one for the permission to open it.

    Args:
        depthai: the seam.
        connect: start the cameras that are free, to learn USB speed and product.
        places: of Linux' USB devices; None takes this machine's.
    """
    places = places or UsbPlaces()
    nodes = usb_nodes(places)
    if not depthai.is_installed():
        text = "depthai is not installed" + (f"; {len(nodes)} camera(s) plugged in" if nodes else "")
        return [Finding(topic=TOPIC, name="OAK", state="missing", text=text, mend=INSTALL), *_permission(nodes, places)]
    try:
        cameras = depthai.cameras(connect=connect)
    except ProbeError as error:
        text = f"the search for cameras {error}"
        return [Finding(topic=TOPIC, name="OAK", state="wrong", text=text, mend=INSTALL), *_permission(nodes, places)]
    findings = [_camera(camera) for camera in cameras]
    if not cameras:
        findings.append(Finding(topic=TOPIC, name="OAK", state="missing", text="no camera found; nothing needs one"))
    return [*findings, *_permission(nodes, places)]


def _camera(camera: Camera) -> Finding:
    name = f"OAK {camera.product or camera.id or camera.name}"
    said = [CHIPS.get(camera.chip, camera.chip), f"at {camera.name}"]
    if not camera.permitted:
        text = f"{', '.join(said)}: this user may not open it"
        return Finding(topic=TOPIC, name=name, state="wrong", text=text, mend=UDEV_MEND, needed=True)
    if camera.error:
        return Finding(topic=TOPIC, name=name, state="wrong", text=f"{', '.join(said)}: {camera.error}", needed=True)
    if camera.usb_speed:
        said.append(SPEEDS.get(camera.usb_speed, camera.usb_speed))
    elif camera.state == "UNBOOTED" and camera.link.startswith("USB"):
        said.append(f"USB speed known once it runs: {CONNECT}")
    if camera.state not in ("UNBOOTED", ""):
        said.append("in use by another program" if camera.state == "BOOTED" else camera.state.lower())
    return Finding(topic=TOPIC, name=name, state="good", text=", ".join(said))


def usb_nodes(places: UsbPlaces) -> tuple[Path, ...]:
    """Device files of the cameras that Linux sees on USB; none on other systems."""
    nodes = []
    for device in sorted(path.parent for path in places.devices.glob("*/idVendor")):
        if _text(device / "idVendor").strip() == VENDOR:
            bus, number = (_text(device / name).strip() for name in ("busnum", "devnum"))
            if bus and number:  # not unplugged meanwhile
                nodes.append(places.nodes / f"{int(bus):03d}" / f"{int(number):03d}")
    return tuple(nodes)


def _text(path: Path) -> str:
    """The content of a small file; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _permission(nodes: Iterable[Path], places: UsbPlaces) -> list[Finding]:
    """May this user open what is plugged in, and will he be able to when a camera is?"""
    if sys.platform != "linux":
        return []
    closed = [node for node in nodes if not os.access(node, os.W_OK)]
    name = "USB permission"
    if closed:
        text = f"{closed[0]}: this user may not open it"
        return [Finding(topic=TOPIC, name=name, state="wrong", text=text, mend=UDEV_MEND, needed=True)]
    rule = _rule(places.rules)
    if rule is not None:
        return [Finding(topic=TOPIC, name=name, state="good", text=f"rule in {rule}")]
    if nodes:
        return [Finding(topic=TOPIC, name=name, state="good", text="the camera may be opened")]
    text = "no udev rule for OAK cameras: one that is plugged in could be opened by root only"
    return [Finding(topic=TOPIC, name=name, state="missing", text=text, mend=UDEV_MEND)]


def _rule(folders: Iterable[Path]) -> Path | None:
    files = (path for folder in folders for path in sorted(folder.glob("*.rules")))
    return next((path for path in files if VENDOR in _text(path).lower()), None)
