"""The cameras that DepthAI finds, asked in a process of their own; with a camera's name, what it says when it runs.

A camera that is started runs DepthAI's firmware until this process ends.
"""

from __future__ import annotations

import sys
from typing import Any

from oakpoint.doctor.limited import answer
from oakpoint.errors import first_line
from oakpoint.oak.device import seen_device
from oakpoint.oak.runtime import import_depthai


def main() -> None:
    """Answer with a list of cameras, in use or not, or with one that was started, as ``cameras.Camera`` has them."""
    depthai = import_depthai()
    if sys.argv[1:]:
        answer(_started(depthai, sys.argv[1]))
    else:
        answer([_facts(info) for info in depthai.Device.getAllConnectedDevices()])


def _facts(info: Any) -> dict[str, Any]:
    seen = seen_device(info)
    return {
        "id": seen.id,
        "name": seen.name,
        "link": info.protocol.name.removeprefix("X_LINK_"),
        "state": seen.state.removeprefix("X_LINK_"),
        "chip": info.platform.name.removeprefix("X_LINK_"),
        "permitted": seen.permitted,
        "in_use": seen.in_use,
    }


def _started(depthai: Any, name: str) -> dict[str, Any]:
    """What only a camera that runs can say, or why it does not run."""
    try:
        infos = [info for info in depthai.Device.getAllConnectedDevices() if info.name == name]
        if not infos:
            return {"error": "not found any more"}
        with depthai.Device(infos[0]) as device:
            product = device.getProductName() or device.getDeviceName()
            return {"usb_speed": device.getUsbSpeed().name, "product": product}
    except RuntimeError as error:
        return {"error": first_line(error)}


if __name__ == "__main__":
    main()
