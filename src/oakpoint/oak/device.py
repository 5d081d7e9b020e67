"""An OAK camera opened, checked, and described; every failure in one plain line.

``depthai`` is handed in by the functions above it, so that tests can put another in its place.
"""

from __future__ import annotations

from typing import Any

from oakpoint.errors import DeviceError
from oakpoint.oak.faults import SeenDevice, opening_fault, running_fault
from oakpoint.oak.options import OakOptions


def open_device(depthai: Any, options: OakOptions) -> Any:
    """Open a camera; the caller closes it.

    DepthAI's own reconnection is switched off: it would go on in silence.

    Raises:
        DeviceError: no such camera, not permitted, in use, lost at once, or not an RVC2 with the socket that was asked
            for.
    """
    arguments = []
    if options.device is not None:
        arguments.append(depthai.DeviceInfo(options.device))
    if options.usb2:
        arguments.append(depthai.UsbSpeed.HIGH)
    try:
        device = depthai.Device(*arguments)
    except RuntimeError as error:
        raise opening_fault(str(error), wanted=options.device, seen=_seen_now(depthai)) from error
    try:
        device.setMaxReconnectionAttempts(0)
        _check(depthai, device, options)
    except RuntimeError as error:
        device.close()
        raise running_fault(str(error)) from error
    except BaseException:
        device.close()
        raise
    return device


def _seen_now(depthai: Any) -> list[SeenDevice]:
    """The cameras that a search lists; none where the search fails as well."""
    try:
        return seen_devices(depthai)
    except RuntimeError:
        return []


def seen_devices(depthai: Any) -> list[SeenDevice]:
    """The cameras that depthai's search lists, in use or not."""
    return [seen_device(info) for info in depthai.Device.getAllConnectedDevices()]


def seen_device(info: Any) -> SeenDevice:
    """A ``depthai.DeviceInfo`` in our words."""
    return SeenDevice(info.deviceId, info.name, info.state.name, info.status.name)


def device_facts(depthai: Any, device: Any) -> dict[str, object]:
    """What is known of an opened camera: product, id, USB speed, sensors, versions."""
    return {
        "camera": str(device.getProductName() or device.getDeviceName() or "OAK"),
        "id": device.getDeviceId(),
        "platform": device.getPlatform().name,
        "usb_speed": device.getUsbSpeed().name,
        "sensors": {socket.name: name for socket, name in device.getCameraSensorNames().items()},
        "depthai": depthai.__version__,
    }


def _check(depthai: Any, device: Any, options: OakOptions) -> None:
    platform = device.getPlatform()
    if platform != depthai.Platform.RVC2:
        raise DeviceError(
            f"OAK camera {device.getDeviceId()}: expected an RVC2 (OAK-1, OAK-D, OAK-D Lite), on which a Myriad X blob "
            f"runs, got {platform.name}"
        )
    sockets = [socket.name for socket in device.getConnectedCameras()]
    if options.socket not in sockets:
        raise DeviceError(
            f"OAK camera {device.getDeviceId()}: no sensor on socket {options.socket}; it has "
            f"{', '.join(sockets) or 'none'}; choose one with --socket"
        )
