"""What a contender costs before its second image: time to load, first result, memory. In a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import signal
import sys
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from oakpoint.bench.host.contenders import Contender
from oakpoint.bench.host.opening import open_contender
from oakpoint.bench.host.subject import Image, Named
from oakpoint.errors import OakpointError

RUNS: Final = 5
"""Images after which the memory is looked at: it no longer grows then."""

_STATUS: Final = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a contender costs by itself.

    Attributes:
        load_s: until the model is open, the runtime's import included.
        first_s: from there to the first result.
        peak_mb: the most memory that the process had, in MB of 10⁶ bytes.
        before_mb: how much of that it had before the model was loaded: Python and oakpoint.
    """

    load_s: float
    first_s: float
    peak_mb: float
    before_mb: float

    def facts(self) -> dict[str, float]:
        """The same for machines."""
        return asdict(self)


def cost_of(named: Named, contender: Contender, image: Image) -> Cost | str:
    """Measure a contender in a new process, which no other has warmed up; or say in a line why that failed.

    Args:
        named: the network.
        contender: how it runs.
        image: uint8 (H, W) or (H, W, 3) BGR.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(sending, named, contender, image), daemon=True)
    process.start()
    sending.close()
    try:
        answer: Cost | str = receiving.recv()
    except EOFError:
        process.join()
        answer = f"its process ended with code {process.exitcode}"
    finally:
        receiving.close()
        process.kill()
        process.join()
    return answer


def _measure(sending: Connection, named: Named, contender: Contender, image: Image) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's, which ends this process
    with contextlib.suppress(BrokenPipeError):  # the command was killed, and nobody is there to be told
        sending.send(measured(named, contender, image))


def measured(named: Named, contender: Contender, image: Image) -> Cost | str:
    """The cost of a contender in this process, which has not opened any; or why it has none."""
    before_mb = _peak_mb()
    start_s = time.perf_counter()
    try:
        opened = open_contender(named, contender, image)
        loaded_s = time.perf_counter()
        opened.run(image)
        first_s = time.perf_counter()
        for _ in range(RUNS):
            opened.run(image)
        opened.close()
    except OakpointError as error:
        return str(error)
    return Cost(load_s=loaded_s - start_s, first_s=first_s - loaded_s, peak_mb=_peak_mb(), before_mb=before_mb)


def _peak_mb() -> float:
    """The most memory that this process has had.

    Of Linux's two figures the one in ``status``: ``getrusage`` counts what the process had before it became this
    program, which is the memory of whoever started it.

    Source: proc(5), VmHWM; getrusage(2).
    """
    if _STATUS.exists():
        lines = (line.split() for line in _STATUS.read_text(encoding="utf-8").splitlines())
        return next(int(words[1]) * 1024 / 1e6 for words in lines if words[:1] == ["VmHWM:"])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
