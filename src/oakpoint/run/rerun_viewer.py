"""Rerun's viewer: one that is started here, or one that runs already."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from typing import Any

from oakpoint.errors import OutputError, UsageError
from oakpoint.runtimes import importing

PORT = 9876
"""Of the viewer."""

START_S = 30.0
"""How long the viewer may take to open its window."""

_ADDRESS = re.compile(
    r"(?:(?P<scheme>rerun(?:\+https?)?)://)?(?P<host>\[[0-9a-fA-F:]+\]|[\w.-]+):(?P<port>\d{1,5})(?:/proxy)?"
)


def import_rerun() -> Any:
    """Import Rerun's SDK, and return the module. It reports nothing; its viewer would, see ``start_viewer``.

    Raises:
        MissingExtraError: it is not installed.
    """
    with importing("rerun", extra="rerun"):
        import rerun
        import rerun.blueprint
    return rerun


def viewer_url(address: str | None) -> str:
    """Where a viewer takes frames.

    Args:
        address: of one that runs, as ``HOST:PORT`` or ``rerun+http://HOST:PORT/proxy``; None starts one here, unless
            one runs.

    Raises:
        UsageError: no address; or a viewer cannot be started, since there is no display.
        OutputError: nothing answers there, or the viewer does not start.
    """
    if address is None:
        if not _answers("127.0.0.1", PORT, 0.3):
            start_viewer()
        return f"rerun+http://127.0.0.1:{PORT}/proxy"
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise UsageError(f"--rerun-address: expected HOST:{PORT} or rerun+http://HOST:{PORT}/proxy, got {address!r}")
    if not _answers(found["host"].strip("[]"), int(found["port"]), 5.0):
        raise OutputError(f"--rerun-address: nothing answers at {found['host']}:{found['port']}; start  rerun  there")
    return f"{found['scheme'] or 'rerun+http'}://{found['host']}:{found['port']}/proxy"


def require_display() -> None:
    """Make sure that there is a display.

    Raises:
        UsageError: there is none.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError(
            "--view rerun: there is no display here; save to an .rrd, or start  rerun  on a machine with one and give "
            f"its address: --rerun-address HOST:{PORT}"
        )


def start_viewer() -> None:
    """Open Rerun's viewer, which stays open after the run. It listens to this machine alone.

    Rerun's own ``spawn`` lets it listen to the whole network, and report how it is used. Its one switch in the
    environment that stops that is ``CI``.

    Raises:
        UsageError: there is no display.
        OutputError: it does not start.
    """
    require_display()
    viewer = subprocess.Popen(
        [sys.executable, "-m", "rerun_cli", "--port", str(PORT), "--bind", "127.0.0.1", "--expect-data-soon"],
        env=os.environ | {"CI": "true", "RERUN_APP_ONLY": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C ends the run, and leaves the window
    )
    until = time.monotonic() + START_S
    while not _answers("127.0.0.1", PORT, 0.3):
        if viewer.poll() is not None or time.monotonic() > until:
            viewer.kill()
            viewer.wait()
            raise OutputError("--view rerun: the viewer does not start;  python -m rerun_cli  shows why")
        time.sleep(0.1)


def _answers(host: str, port: int, timeout_s: float) -> bool:
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True
