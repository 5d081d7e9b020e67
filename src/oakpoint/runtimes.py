"""Runtimes are imported only when they are used: what a failed import means, and the one import of OpenVINO."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oakpoint.errors import BackendError, MissingExtraError


@contextmanager
def importing(*packages: str, extra: str | None = None, purpose: str = "") -> Iterator[None]:
    """A block that imports packages and nothing else.

    Args:
        *packages: what is imported, by the names of the modules.
        extra: the extra of oakpoint that brings them; None for packages that oakpoint always brings.
        purpose: what they are for, for the message.

    Raises:
        MissingExtraError: one of them is not installed.
        BackendError: one is there and cannot be imported: a library that it needs is missing, or a file of its own.
        KeyboardInterrupt: Ctrl-C during the import, of which pybind11 makes an ``ImportError``.
    """
    try:
        yield
    except (ImportError, OSError) as error:  # torch loads its libraries with ctypes: OSError
        if _interrupted(error):
            raise KeyboardInterrupt from error
        if extra is not None and isinstance(error, ModuleNotFoundError) and error.name in packages:
            raise MissingExtraError(f"{error.name}{purpose}", extra) from error
        reason = " ".join(str(error).split())[:200]
        raise BackendError(
            f"{packages[0]} cannot be imported ({reason}); install what is missing, or run  "
            f"pip install --force-reinstall {packages[0]}"
        ) from error


def import_openvino() -> Any:
    """Import OpenVINO without its usage statistics, and return the module.

    Importing ``openvino`` reports that it was imported, over the network, where the package ``openvino_telemetry`` is
    installed (it is one of OpenVINO's dependencies). oakpoint works offline and reports nothing: with that name closed,
    OpenVINO takes its own stub. A program that imported OpenVINO before is left as it is.

    Raises:
        BackendError: it cannot be imported.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
    with importing("openvino"):
        import openvino
    return openvino


def import_nncf() -> Any:
    """Import NNCF without its usage statistics, its log and its class of loggers, and return the module.

    NNCF reports what it is used for through ``openvino_telemetry``, as OpenVINO does: with that name closed, it takes
    its own stub. On import it also gives its logger a handler that writes to standard output, and makes its class of
    loggers that of the whole program; both are taken back. A program that imported NNCF before is left as it is.

    Raises:
        MissingExtraError: it is not installed.
        BackendError: it cannot be imported.
    """
    if (there := sys.modules.get("nncf")) is not None:
        return there
    import_openvino()
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # see import_openvino
    loggers = logging.getLoggerClass()
    try:
        with importing("nncf", extra="int8", purpose=", which makes INT8 of a network,"):
            import nncf
    finally:
        logging.setLoggerClass(loggers)
    log = logging.getLogger("nncf")
    log.handlers = [logging.NullHandler()]
    log.setLevel(logging.ERROR)
    return nncf


def installed_version(package: str) -> str:
    """The version of a package that is installed; empty where it is not. It is not imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C stands at the beginning of an error's story."""
    cause = error.__cause__ or error.__context__
    return cause is not None and (isinstance(cause, KeyboardInterrupt) or _interrupted(cause))
