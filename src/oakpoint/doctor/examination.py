"""Everything the doctor looks at, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from oakpoint.doctor.cameras import DepthAi, DepthAiInProcess, examine_cameras
from oakpoint.doctor.compiler import examine_compiler
from oakpoint.doctor.display import examine_display
from oakpoint.doctor.findings import Finding
from oakpoint.doctor.inference import examine_inference
from oakpoint.doctor.limited import end_running
from oakpoint.doctor.model_cache import examine_model_cache
from oakpoint.doctor.packages import examine_packages


def examine(*, connect: bool = False, depthai: DepthAi | None = None) -> tuple[Finding, ...]:
    """Look at everything, the slow things side by side; each has a limit in time.

    Args:
        connect: start cameras that are free, to learn more of them.
        depthai: the seam to the depthai package; None takes the package itself.
    """
    seam = depthai or DepthAiInProcess()
    parts: tuple[Callable[[], list[Finding]], ...] = (
        examine_packages,
        examine_compiler,
        examine_inference,
        examine_model_cache,
        lambda: examine_cameras(seam, connect=connect),
        examine_display,
    )
    with ThreadPoolExecutor(len(parts)) as pool:
        running = [pool.submit(part) for part in parts]
        try:
            return tuple(finding for part in running for finding in part.result())
        except BaseException:
            end_running()  # or Ctrl-C would wait for what hangs
            raise
