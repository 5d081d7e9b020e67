"""The cameras that DepthAI finds, asked in a process of their own; with ``connect``, the free ones are started.

A camera that is started runs DepthAI's firmware until this process ends; one that another program uses is left alone.
"""

from __future__ import annotations

import sys
from typing import Any

from oakpoint.doctor.limited import answer


def main() -> None:
    """Answer with the version and a list of cameras, as ``cameras.Camera`` has them."""
    import depthai

    connect = "connect" in sys.argv[1:]
    cameras = [_facts(depthai, info, connect=connect) for info in depthai.Device.getAllAvailableDevices()]
    answer({"version": depthai.__version__, "cameras": cameras})


def _facts(depthai: Any, info: Any, *, connect: bool) -> dict[str, Any]:
    facts = {
        "id": info.getDeviceId(),
        "name": info.name,
        "link": info.protocol.name.removeprefix("X_LINK_"),
        "state": info.state.name.removeprefix("X_LINK_"),
        "chip": info.platform.name.removeprefix("X_LINK_"),
        "permitted": info.status.name != "X_LINK_INSUFFICIENT_PERMISSIONS",
    }
    if connect and facts["permitted"] and facts["state"] == "UNBOOTED":
        try:
            with depthai.Device(info) as device:
                facts["usb_speed"] = device.getUsbSpeed().name
                facts["product"] = device.getProductName() or device.getDeviceName()
        except RuntimeError as error:
            facts["error"] = str(error).splitlines()[0][:200]
    return facts


if __name__ == "__main__":
    main()
