"""OpenVINO's devices, asked in a process of their own: drivers that hang or crash take only this one with them."""

from __future__ import annotations

from oakpoint.doctor.limited import answer
from oakpoint.runtimes import import_openvino


def main() -> None:
    """Answer with a list of name, full name and capabilities."""
    core = import_openvino().Core()
    answer(
        [
            {
                "name": device,
                "full_name": core.get_property(device, "FULL_DEVICE_NAME"),
                "capabilities": list(core.get_property(device, "OPTIMIZATION_CAPABILITIES")),
            }
            for device in core.available_devices
        ]
    )


if __name__ == "__main__":
    main()
