"""Portions on Ray: one machine or a cluster. The one import of Ray."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oakpoint import errors
from oakpoint.errors import BackendError, OakpointError, UsageError, first_line
from oakpoint.extraction.parts.claims import ClaimRegister, register_of
from oakpoint.extraction.parts.known import Known
from oakpoint.extraction.parts.manifest import whole_parts
from oakpoint.extraction.parts.plan import Plan
from oakpoint.extraction.parts.portion import Job, PortionReport, PortionWorker
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

IMAGES_PER_REGISTER = 5_000_000
"""A register keeps 150 bytes of each content that is new, and 16 of each that is there."""

OBJECT_STORE_BYTES = 128 << 20
"""Through Ray go numbers of portions and what came of them, no images and no features."""

_TASKS_AHEAD = 2
"""Portions that a worker is given: one to do, one to go on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Does portions with Ray Data: as many workers, each of which keeps the model open; see ``run.Engine``.

    Workers and registers that are killed are started again, and what they were doing is done again.

    Attributes:
        workers: how many; None: one for each core.
        address: of a cluster, ``auto`` or ``ray://…``; None starts Ray on this machine, for this run alone.
    """

    workers: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers: expected 1 or more, got {self.workers}")

    def __call__(self, job: Job, plan: Plan) -> Iterator[PortionReport]:
        """See ``run.Engine``."""
        with _connected(self.address) as (ray, machine_cores, all_cores):
            workers = min(self.workers or all_cores, plan.portions)
            threads = max(1, min(all_cores // workers, machine_cores))
            registers = _registers(ray, job, 1 + plan.images // IMAGES_PER_REGISTER)
            try:
                yield from _reports(ray, job, plan, registers, workers=workers, threads=threads)
            except ray.exceptions.RayError as error:
                raise BackendError(f"Ray gave up ({first_line(error)}); the same command goes on") from error


_NOTE = b"RAY_BACKEND_LOG_LEVEL"
"""What its C++ writes to stderr, once, since there is such a setting."""


def _import_ray() -> Any:
    os.environ.update(ENVIRONMENT)
    with importing("ray", extra=EXTRA, purpose=", which extracts in several processes,"):
        import ray
        import ray.data
    return ray


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[tuple[Any, int, int]]:
    """Ray, the cores of its largest machine, and those of all; a program that has it running already keeps it.

    Raises:
        BackendError: it cannot be started, or the cluster not be reached.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray, *_cores_of(ray)
        return
    with contextlib.ExitStack() as stack:
        folder = None if address else stack.enter_context(scratch_folder("oakpoint-ray-"))
        stack.enter_context(_started(ray, address, folder))
        yield ray, *_cores_of(ray)


@contextlib.contextmanager
def _started(ray: Any, address: str | None, folder: Path | None) -> Iterator[None]:
    own = {
        "num_cpus": cores(),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
        "_temp_dir": str(folder),
        "_node_ip_address": "127.0.0.1",  # nothing of it listens to other machines
    }
    try:
        try:
            with _without_the_note():
                ray.init(
                    address=address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **({} if address else own),
                )
        except (ConnectionError, OSError, RuntimeError, ValueError, TimeoutError) as error:
            where = f"no cluster at {shown_url(address)}" if address else "Ray cannot be started"
            raise BackendError(f"ray: {where} ({first_line(error)})") from error
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _without_the_note() -> Iterator[None]:
    """Keep what is written to stderr within the block until its end, and leave out ``_NOTE``."""
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
            os.write(2, b"".join(line for line in caught if _NOTE not in line))


def _cores_of(ray: Any) -> tuple[int, int]:
    each = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return max(each, default=1) or 1, sum(each) or 1


class _RegisterActor:
    """Holds a register in a process of its own; made anew after a kill, it reads what parts are there by then."""

    def __init__(self, job: Job) -> None:
        self._register = ClaimRegister(Known(job.output, whole_parts(job.output, job.form)))

    def claim(self, portion: int, contents: Sequence[str]) -> list[bool]:
        """See ``Claims.claim``."""
        return self._register.claim(portion, contents)


def _registers(ray: Any, job: Job, count: int) -> list[Any]:
    actor = ray.remote(_RegisterActor).options(num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=1)
    return [actor.remote(job) for _ in range(count)]


class _RemoteClaims:
    """Asks the registers, each for the contents that are its own."""

    def __init__(self, ray: Any, registers: Sequence[Any]) -> None:
        self._ray, self._registers = ray, registers

    def claim(self, portion: int, contents: Sequence[str]) -> list[bool]:
        """See ``Claims.claim``."""
        by_register: dict[int, list[str]] = {}
        for content in contents:
            by_register.setdefault(register_of(content, len(self._registers)), []).append(content)
        asked = [self._registers[which].claim.remote(portion, part) for which, part in by_register.items()]
        ours = {
            content: is_ours
            for part, answers in zip(by_register.values(), self._ray.get(asked), strict=True)
            for content, is_ours in zip(part, answers, strict=True)
        }
        return [ours[content] for content in contents]


class _Worker:
    """What Ray Data calls with the number of a portion; errors of ours travel as data, and end the run at once."""

    def __init__(self, job: Job, registers: Sequence[Any], threads: int) -> None:
        self._worker = PortionWorker(job, _RemoteClaims(_import_ray(), registers), threads=threads)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"report": np.array([self._report(int(number)) for number in batch["portion"]])}

    def _report(self, number: int) -> str:
        try:
            return json.dumps({"report": asdict(self._worker(number))})
        except OakpointError as error:
            return json.dumps({"kind": type(error).__name__, "error": str(error)})


def _reports(
    ray: Any, job: Job, plan: Plan, registers: Sequence[Any], *, workers: int, threads: int
) -> Iterator[PortionReport]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    numbers = ray.data.from_items([{"portion": i} for i in range(plan.portions)], override_num_blocks=plan.portions)
    done = numbers.map_batches(
        _Worker,
        batch_size=1,
        num_cpus=threads,
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=_TASKS_AHEAD),
        fn_constructor_kwargs={
            "job": job,
            "registers": registers,
            "threads": threads if workers > 1 else None,  # one by itself is as the plain command
        },
    )
    for row in done.iter_rows():
        said = json.loads(str(row["report"]))
        if "error" in said:
            kind = getattr(errors, said["kind"], BackendError)
            raise (kind if kind.__init__ is OakpointError.__init__ else BackendError)(said["error"])
        report = said["report"]
        yield PortionReport(**{**report, "refused": tuple(report["refused"])})
