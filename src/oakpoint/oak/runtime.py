"""The one import of depthai, quiet and with its reports to the network closed."""

from __future__ import annotations

import os
from typing import Any

from oakpoint.runtimes import importing

SETTINGS = {
    "DEPTHAI_TELEMETRY": "0",
    "DEPTHAI_DISABLE_STARTUP_NOTIFICATIONS": "1",
    "DEPTHAI_DISABLE_FEEDBACK": "1",
    "DEPTHAI_CRASHDUMP": "0",
    "DEPTHAI_LEVEL": "off",
}
"""What depthai is told before it is imported, unless the user's environment says otherwise.

Left alone, depthai 3.12 reports every pipeline, fetches notices and uploads the dumps of crashed firmware; and its log
goes to standard output, where it would stand within ``--json``. ``DEPTHAI_LEVEL=info`` brings the log back.
"""


def import_depthai() -> Any:
    """The module ``depthai``.

    Raises:
        MissingExtraError: it is not installed.
        BackendError: it cannot be imported.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with importing("depthai", extra="oak"):
        import depthai
    return depthai


def stop_pipeline(pipeline: Any) -> None:
    """Stop a pipeline and wait for the threads of its nodes.

    Without the wait a pipeline that nobody refers to any more waits for them in its destructor, holding the lock of the
    interpreter that they need to end.
    """
    pipeline.stop()
    pipeline.wait()
