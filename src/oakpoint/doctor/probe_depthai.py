"""The cameras that DepthAI finds, asked in a process of their own; with ``connect``, the free ones are started.

A camera that is started runs DepthAI's firmware until this process ends; one that another program uses is left alone.
"""

from __future__ import annotations

import sys
from typing import Any

from oakpoint.doctor.limited import answer
from oakpoint.errors import first_line
from oakpoint.oak.device import seen_device
from oakpoint.oak.runtime import import_depthai


def main() -> None:
    """Answer with the version and a list of cameras, in use or not, as ``cameras.Camera`` has them."""
    depthai = import_depthai()
    connect = "connect" in sys.argv[1:]
    cameras = [_facts(depthai, info, connect=connect) for info in depthai.Device.getAllConnectedDevices()]
    answer({"version": depthai.__version__, "cameras": cameras})


def _facts(depthai: Any, info: Any, *, connect: bool) -> dict[str, Any]:
    seen = seen_device(info)
    facts = {
        "id": seen.id,
        "name": seen.name,
        "link": info.protocol.name.removeprefix("X_LINK_"),
        "state": seen.state.removeprefix("X_LINK_"),
        "chip": info.platform.name.removeprefix("X_LINK_"),
        "permitted": seen.permitted,
        "in_use": seen.in_use,
    }
    if connect and seen.free and facts["state"] == "UNBOOTED":
        try:
            with depthai.Device(info) as device:
                facts["usb_speed"] = device.getUsbSpeed().name
                facts["product"] = device.getProductName() or device.getDeviceName()
        except RuntimeError as error:
            facts["error"] = first_line(error)
    return facts


if __name__ == "__main__":
    main()
