"""The one place where OpenVINO is imported, and only when it is used."""

from __future__ import annotations

import sys
from typing import Any


def import_openvino() -> Any:
    """Import OpenVINO without its usage statistics, and return the module.

    Importing ``openvino`` reports that it was imported, over the network, where the package ``openvino_telemetry`` is
    installed (it is one of OpenVINO's dependencies). oakpoint works offline and reports nothing: with that name closed,
    OpenVINO takes its own stub. A program that imported OpenVINO before is left as it is.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
    import openvino

    return openvino
