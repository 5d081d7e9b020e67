"""Portions on Ray Data: one machine or a cluster."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from oakpoint import errors
from oakpoint.errors import BackendError, OakpointError, UsageError, first_line
from oakpoint.extraction.parts.claims import ClaimRegister, register_of
from oakpoint.extraction.parts.known import Known
from oakpoint.extraction.parts.manifest import whole_parts
from oakpoint.extraction.parts.plan import Plan
from oakpoint.extraction.parts.portion import Job, PortionReport, PortionWorker
from oakpoint.extraction.parts.ray_session import import_ray, session

IMAGES_PER_REGISTER = 5_000_000
"""A register keeps 150 bytes of each content that is new, and 16 of each that is there."""

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
        with session(self.address) as running:
            ray, workers = running.ray, min(self.workers or running.cores, plan.portions)
            threads = max(1, min(running.cores // workers, running.largest))
            registers = _registers(ray, job, 1 + plan.images // IMAGES_PER_REGISTER)
            try:
                yield from _reports(ray, job, plan, registers, workers=workers, threads=threads)
            except ray.exceptions.RayError as error:
                raise BackendError(f"Ray gave up ({first_line(error)}); the same command goes on") from error


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
        self._worker = PortionWorker(job, _RemoteClaims(import_ray(), registers), threads=threads)

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
