"""Ray started for one run, or a cluster joined, and left as if it had not been there. The one import of Ray."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from oakpoint.errors import BackendError, first_line
from oakpoint.extraction.parts.storage import EXTRA, shown_url
from oakpoint.files import scratch_folder
from oakpoint.runtimes import importing
from oakpoint.threads import cores

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported over the network
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # else its C++ writes to stderr what is no error
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the default of later versions, of which it warns
}
"""Ray reads these where it is imported and where it starts its processes."""

OBJECT_STORE_BYTES = 128 << 20
"""Through Ray go numbers of portions and what came of them, no images and no features."""

_REMARK = re.compile(rb"\[[-0-9: ,]+ [IWE] \d+ \d+\] \S+:\d+: ")
"""How lines begin that Ray's C++ writes to stderr, also where nothing is wrong; what is, is raised as well."""

_REACHED_WITHIN_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """Ray, running.

    Attributes:
        ray: the module.
        largest: cores of the machine that has most.
        cores: of all machines.
    """

    ray: Any
    largest: int
    cores: int


def require_ray() -> None:
    """Make sure that Ray is installed. It is not imported: it reads its environment then (see ``session``).

    Raises:
        MissingExtraError: it is not.
    """
    with _importing():
        if importlib.util.find_spec("ray") is None:
            raise ModuleNotFoundError("No module named 'ray'", name="ray")


def import_ray() -> Any:
    """Import Ray with Ray Data, and return the module.

    Raises:
        MissingExtraError: it is not installed.
        BackendError: it cannot be imported.
    """
    os.environ.update(ENVIRONMENT)
    with _importing():
        import ray
        import ray.data
    return ray


def _importing() -> AbstractContextManager[None]:
    return importing("ray", extra=EXTRA, purpose=", which extracts in several processes,")


@contextlib.contextmanager
def session(address: str | None) -> Iterator[Session]:
    """Ray for as long as the block lasts.

    Args:
        address: of a cluster; None starts it on this machine, with the cores that this process may use. Ray's
            processes listen to the network: only who knows the secret of this process is answered (from Ray
            2.52 on). A program that has Ray running already keeps that, and it is used.

    Raises:
        MissingExtraError: Ray is not installed.
        BackendError: it cannot be started, or the cluster not be reached.
    """
    with contextlib.ExitStack() as stack:
        if address is None:
            stack.enter_context(_environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _secret()}))
        ray = import_ray()
        if not ray.is_initialized():
            folder = None if address else stack.enter_context(scratch_folder("oakpoint-ray-"))
            stack.enter_context(_started(ray, address, folder))
        each = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        yield Session(ray, max(each, default=1) or 1, sum(each) or 1)


@cache
def _secret() -> str:
    """One for each process: Ray reads it once, also where it is started again."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _started(ray: Any, address: str | None, folder: Path | None) -> Iterator[None]:
    own = {
        "num_cpus": cores(),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(folder),
    }
    try:
        try:
            if address is not None:
                _reach(address)
            with _stderr_without_remarks():
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **({} if address else own),
                )
        except (ConnectionError, OSError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
            where = f"no cluster at {shown_url(address)}" if address else "cannot be started"
            raise BackendError(f"ray: {where} ({first_line(error)})") from error
        with _without_remarks():
            yield
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Fail at once where nobody listens, which Ray itself says after minutes.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]") or "localhost", int(port)), _REACHED_WITHIN_S).close()


@contextlib.contextmanager
def _stderr_without_remarks() -> Iterator[None]:
    """Keep what is written to stderr within the block until its end, and leave out ``_REMARK``."""
    with tempfile.TemporaryFile() as caught:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            os.write(2, b"".join(line for line in caught if not _REMARK.match(line)))


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Let the log have what Ray prints to standard output where a worker died, whatever ``log_to_driver`` says."""
    worker: Any = importlib.import_module("ray._private.worker")
    printing = getattr(worker, "print_to_stdstream", None)
    if printing is None:  # another version, which may print
        yield
        return
    worker.print_to_stdstream = lambda data, *_, **__: _log.info("ray: %s", "; ".join(data.get("lines", [])))
    try:
        yield
    finally:
        worker.print_to_stdstream = printing
