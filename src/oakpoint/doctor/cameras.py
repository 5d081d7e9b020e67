"""OAK cameras: which there are, and whether this user may open them.

``DepthAi`` is the seam: everything that touches the depthai package lies behind it, and tests put a list in its place.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from oakpoint.doctor.findings import Finding, State
from oakpoint.doctor.limited import ProbeError, run_probe
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
    is_root,
    udev_rule,
)

TOPIC = "camera"
SEARCH_LIMIT_S, CONNECT_LIMIT_S = 20.0, 30.0
"""For the search, and for the start of each camera."""

PROBE = "oakpoint.doctor.probe_depthai"

INSTALL, REINSTALL = "pip install 'oakpoint[oak]'", "pip install --force-reinstall depthai"
CONNECT = "oakpoint doctor --connect"
CONTAINER = f"docker run {CONTAINER_OPTIONS} …"
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
        state: ``UNBOOTED``, ``BOOTED`` and the like.
        chip: as DepthAI names it: ``MYRIAD_X``.
        permitted: this user may open it.
        in_use: another program has it.
        usb_speed, product: known only when it was started.
        error: why it could not be started.
    """

    id: str
    name: str
    link: str
    state: str
    chip: str
    permitted: bool = True
    in_use: bool = False
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
        cameras = tuple(Camera(**facts) for facts in run_probe(PROBE, limit_s=SEARCH_LIMIT_S))
        return tuple(_started(camera) for camera in cameras) if connect else cameras


def _started(camera: Camera) -> Camera:
    """A camera that is free, started in a process of its own: one that hangs takes no other's answer with it."""
    if not camera.permitted or camera.in_use or camera.state != "UNBOOTED":
        return camera
    try:
        return replace(camera, **run_probe(PROBE, camera.name, limit_s=CONNECT_LIMIT_S))
    except ProbeError as error:
        return replace(camera, error=str(error))


def examine_cameras(depthai: DepthAi, *, connect: bool = False, places: UsbPlaces | None = None) -> list[Finding]:
    """One finding for the search, or for each camera, and one for the permission to open it.

    Args:
        depthai: the seam.
        connect: start the cameras that are free, to learn USB speed and product.
        places: of Linux' USB devices; None takes this machine's.
    """
    places = places or UsbPlaces()
    return [*_found(depthai, places, connect=connect), *_permission(places)]


def _found(depthai: DepthAi, places: UsbPlaces, *, connect: bool) -> list[Finding]:
    """What DepthAI finds."""
    files = camera_files(places)
    if not depthai.is_installed():
        text = "depthai is not installed" + (f"; {len(files)} camera(s) plugged in" if files else "")
        return [Finding(topic=TOPIC, name="OAK", state="missing", text=text, mend=INSTALL)]
    try:
        cameras = depthai.cameras(connect=connect)
    except ProbeError as error:
        text = f"the search for cameras {error}"
        return [Finding(topic=TOPIC, name="OAK", state="wrong", text=text, mend=REINSTALL)]
    if not cameras:
        mend = LIST_COMMAND if has_bus(places) else CONTAINER
        return [Finding(topic=TOPIC, name="OAK", state="missing", text="no camera found; nothing needs one", mend=mend)]
    return [_camera(camera, places) for camera in cameras]


def _camera(camera: Camera, places: UsbPlaces) -> Finding:
    name = f"OAK {camera.product or camera.id or camera.name}"
    said = f"{CHIPS.get(camera.chip, camera.chip)}, at {camera.name}"
    usb = camera.link.startswith("USB")
    if not camera.permitted:
        mend = CONTAINER if container_refuses(places) else UDEV_COMMAND
        text = f"{said}: {NOT_PERMITTED}"
        return Finding(topic=TOPIC, name=name, state="wrong", text=text, mend=mend, needed=True)
    if camera.in_use:
        text = f"{said}: {IN_USE}"
        mend = _users_of(camera_files(places)) if usb else ""
        return Finding(topic=TOPIC, name=name, state="in use", text=text, mend=mend)
    if camera.error:
        text = f"{said}: {camera.error}; plug it in again" + (", and try  oakpoint run … --usb2" if usb else "")
        return Finding(topic=TOPIC, name=name, state="wrong", text=text, mend=CONNECT, needed=True)
    if camera.usb_speed:
        said += f", {SPEEDS.get(camera.usb_speed, camera.usb_speed)}"
    elif camera.state == "UNBOOTED" and usb:
        said += f", USB speed known once it runs: {CONNECT}"
    if camera.state not in ("UNBOOTED", ""):
        said += f", {camera.state.lower()}"
    return Finding(topic=TOPIC, name=name, state="good", text=said)


def _users_of(files: tuple[Path, ...]) -> str:
    """The command that shows which program has a camera; none where Linux shows no file of one."""
    return f"fuser -v {' '.join(map(str, files))}" if files else ""


def _permission(places: UsbPlaces) -> list[Finding]:
    """May this user open what is plugged in, and will he be able to when a camera is?"""
    if sys.platform != "linux":
        return []
    files = camera_files(places)
    closed, absent = closed_files(files), [file for file in files if not file.exists()]
    if closed:
        return [_usb("wrong", f"{closed[0]}: {NOT_PERMITTED}", UDEV_COMMAND)]
    if absent:
        return [_usb("wrong", f"{absent[0]}: not there, though a camera is plugged in", CONTAINER)]
    if not has_bus(places):
        return [_usb("missing", f"{places.bus}: not there; a container has to be given it", CONTAINER)]
    rule = udev_rule(places)
    if rule is not None:
        return [_usb("good", f"rule in {rule}")]
    if files:
        return [_usb("good", "the camera may be opened")]
    if is_root():
        return [_usb("good", "root may open cameras without a udev rule; other users may not")]
    text = "no udev rule for OAK cameras: one that is plugged in could be opened by root only"
    return [_usb("missing", text, UDEV_COMMAND)]


def _usb(state: State, text: str, mend: str = "") -> Finding:
    return Finding(topic=TOPIC, name="USB permission", state=state, text=text, mend=mend, needed=state == "wrong")
