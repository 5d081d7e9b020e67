"""Run a program that may crash or hang, and come back in time whatever it does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROBE_MARK = "oakpoint-probe: "
"""Begins the line with a probe's answer; runtimes log to standard output as well."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        code: its exit code, negative for a signal; None when it had to be ended after its time.
        text: what it wrote to standard output and standard error.
    """

    code: int | None
    text: str


def run_limited(command: Sequence[str], *, limit_s: float, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a program for at most so long; what does not end by then is killed and, if it cannot be, left behind.

    Output goes through a file: a pipe would be waited on for as long as any child of the program holds it.

    Args:
        command: program and arguments.
        limit_s: seconds.
        environment: variables beside those of this process.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            return Ended(127, f"{command[0]}: {error.strerror or error}")
        code: int | None = None
        _running.add(process)
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            _kill(process)
        finally:
            _running.discard(process)
        output.seek(0)
        return Ended(code, output.read())


def end_running() -> None:
    """Kill what runs in other threads: a program in a session of its own does not hear Ctrl-C."""
    for process in tuple(_running):
        _kill(process)


_running: set[subprocess.Popen[bytes]] = set()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)


class ProbeError(Exception):
    """A probe gave no answer; the message says why, in a line."""


def run_probe(module: str, *arguments: str, limit_s: float) -> Any:
    """Run a module of oakpoint's as a program of its own and return what it answered.

    Args:
        module: its full name; it prints its answer with ``answer``.
        *arguments: for it.
        limit_s: seconds.

    Raises:
        ProbeError: it took too long, crashed, or gave no answer.
    """
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    ended = run_limited([sys.executable, "-m", module, *arguments], limit_s=limit_s, environment={"PYTHONPATH": path})
    for line in ended.text.splitlines():
        if line.startswith(PROBE_MARK):
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(line.removeprefix(PROBE_MARK))
    if ended.code is None:
        raise ProbeError(f"gave no answer within {limit_s:.0f} s")
    lines = [line.strip() for line in ended.text.splitlines() if line.strip()]
    raise ProbeError(f"ended with code {ended.code}: {lines[-1][:200] if lines else 'no message'}")


def answer(value: Any) -> None:
    """Print a probe's answer."""
    sys.stdout.write(f"\n{PROBE_MARK}{json.dumps(value)}\n")
    sys.stdout.flush()
