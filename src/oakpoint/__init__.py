"""Networks from PyTorch or ONNX to the Myriad X in an OAK camera, verified at every step.

>>> import oakpoint
>>> extractor = oakpoint.load("bundle")  # doctest: +SKIP
>>> a, b = extractor(image_a), extractor(image_b)  # doctest: +SKIP
>>> matches = oakpoint.match(a, b)  # doctest: +SKIP

The names below are loaded when first used, so that ``import oakpoint`` costs milliseconds and needs no runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oakpoint.datafiles.opening import RunData, read_data
    from oakpoint.errors import OakpointError
    from oakpoint.extractor import Extractor
    from oakpoint.features.decode import decode
    from oakpoint.features.matching import match
    from oakpoint.features.tracking import Tracker
    from oakpoint.features.types import DecodeOptions, DenseOutputs, Features, Matches
    from oakpoint.loading import load

__version__ = "0.1.0"

_HOME = {
    "DecodeOptions": "oakpoint.features.types",
    "DenseOutputs": "oakpoint.features.types",
    "Extractor": "oakpoint.extractor",
    "Features": "oakpoint.features.types",
    "Matches": "oakpoint.features.types",
    "OakpointError": "oakpoint.errors",
    "RunData": "oakpoint.datafiles.opening",
    "Tracker": "oakpoint.features.tracking",
    "decode": "oakpoint.features.decode",
    "load": "oakpoint.loading",
    "match": "oakpoint.features.matching",
    "read_data": "oakpoint.datafiles.opening",
}

__all__ = [
    "DecodeOptions",
    "DenseOutputs",
    "Extractor",
    "Features",
    "Matches",
    "OakpointError",
    "RunData",
    "Tracker",
    "__version__",
    "decode",
    "load",
    "match",
    "read_data",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'oakpoint' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
