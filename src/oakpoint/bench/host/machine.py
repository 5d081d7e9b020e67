"""What a measurement was made on: processor, cores, what it can do, versions."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Final

from oakpoint import __version__
from oakpoint.runtimes import installed_version
from oakpoint.threads import cores

FEATURES: Final = (
    "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimddp", "i8mm", "bf16", "sve", "sve2",
)  # fmt: skip
"""Instructions that runtimes have kernels for, by Linux's names."""

PACKAGES: Final = ("openvino", "onnxruntime", "torch", "numpy", "opencv-python-headless")

_CPUINFO: Final = Path("/proc/cpuinfo")


def machine_facts(cpuinfo: Path = _CPUINFO) -> dict[str, Any]:
    """Processor, cores that this process may use, features, load at the moment, system and versions.

    Args:
        cpuinfo: Linux's description of the processors; elsewhere there is none, and no features are told.
    """
    told = _cpuinfo(cpuinfo)
    packages = {name: version for name in PACKAGES if (version := installed_version(name))}
    flags = set((told.get("flags") or told.get("Features") or "").split())
    return {
        "processor": told.get("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "features": [name for name in FEATURES if name in flags],
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"oakpoint": __version__, "python": platform.python_version(), **packages},
    }


def _cpuinfo(path: Path) -> dict[str, str]:
    """The first processor's fields by name; empty where nobody tells."""
    try:
        first, _, _ = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")
    except OSError:
        return {}
    fields = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in fields}
