"""One training process among several: its rank, its device, gradients averaged over all of them."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from oakpoint.errors import OakpointError, TrainingError, UsageError

PARTNER_GRACE_S = 5.0
LAST_WORD_S = 1.0

_log = logging.getLogger(__name__)

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stands.

    Attributes:
        rank: 0 to world − 1; 0 writes files.
        world: how many processes there are.
        device: where it computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def distributed(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all processes; statistics of batch norms stay each process's own."""
        if self.world == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids, forward_sync_buffers=False)

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.world > 1:
            torch.distributed.barrier()


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where processes of one machine find each other.

    Attributes:
        rank: of this one.
        world: how many there are.
        file: that they share.
    """

    rank: int
    world: int
    file: Path


Work = Callable[[Argument, Meeting | None], Result]


@contextmanager
def join_processes(device: str | None, meeting: Meeting | None) -> Iterator[Place]:
    """Join the other processes: those of a meeting, those that ``torchrun`` started, or none.

    Args:
        device: ``cpu`` or ``cuda``; None takes a GPU when there is one.
        meeting: of processes that ``run_in_processes`` started; None: by ``torchrun``'s environment, if there is one.
    """
    rank = meeting.rank if meeting else int(os.environ.get("RANK", 0))
    world = meeting.world if meeting else int(os.environ.get("WORLD_SIZE", 1))
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    local_rank = meeting.rank if meeting else int(os.environ.get("LOCAL_RANK", 0))
    place = Place(rank, world, torch.device(kind, local_rank) if kind == "cuda" else torch.device(kind))
    if kind == "cuda":
        torch.cuda.set_device(place.device)
    else:
        torch.set_num_threads(max(1, cores() // world))
    if world == 1:
        yield place
        return
    # DistributedDataParallel imports it. Where a group exists by then, the import keeps it alive (torch 2.13): gloo's
    # threads outlive destroy_process_group, and now and then a process aborts at its end.
    importlib.import_module("torch._dynamo")
    torch.distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=meeting.file.as_uri() if meeting else None,
        rank=rank,
        world_size=world,
    )
    try:
        yield place
    finally:
        torch.distributed.destroy_process_group()


def run_in_processes(work: Work[Argument, Result], argument: Argument, processes: int) -> Result:
    """Do the work in this process as the first, and in others beside it; they end with this one.

    Args:
        work: a function of a module, called with the argument and the meeting.
        argument: can be pickled.
        processes: in all.

    Returns:
        What the work gives in this process.
    """
    if processes == 1:
        return work(argument, None)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="oakpoint-meeting-") as folder:
        file = Path(folder) / "meeting"
        others = [
            context.Process(target=_quietly, args=(work, argument, Meeting(rank, processes, file)), daemon=True)
            for rank in range(1, processes)
        ]
        for other in others:
            other.start()
        try:
            return work(argument, Meeting(0, processes, file))
        except RuntimeError as error:  # gloo's and NCCL's word for a partner that is gone
            codes = _codes_of_ended(others)
            if not codes:
                raise
            raise TrainingError(
                f"another training process ended (exit code {', '.join(map(str, codes))}); is memory short? The same "
                "command goes on from the last checkpoint, --processes 1 needs less"
            ) from error
        finally:
            for other in others:
                other.terminate()
                other.join()


def _codes_of_ended(processes: Sequence[multiprocessing.process.BaseProcess]) -> list[int]:
    """Exit codes of those that ended with an error, or do so within a moment."""
    for process in processes:
        process.join(timeout=PARTNER_GRACE_S)
    return [process.exitcode for process in processes if process.exitcode]


def _quietly(work: Work[Argument, Result], argument: Argument, meeting: Meeting) -> None:
    """Do the work of another process; Ctrl-C is for the first one, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(argument, meeting)
    except OakpointError:  # the first process says the same
        sys.exit(1)
    except RuntimeError as error:  # the first process only sees that this one is gone
        time.sleep(LAST_WORD_S)  # or has ended with a line of its own, and is about to end this one
        _log.error("training process %d: %s", meeting.rank, " ".join(str(error).split())[:300])
        sys.exit(1)


def _end_with_parent() -> None:
    """End this process as soon as the first one is gone; one that was killed could not see to it."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "the first process started this one"
    parent.join()
    os._exit(1)


def process_count(device: str | None, asked: int | None) -> int:
    """How many processes to start: as many as asked, or one for each core or GPU; one where ``torchrun`` has done so.

    Raises:
        UsageError: a device that is unknown or not there.
    """
    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"device: expected cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: expected a GPU that torch can use, got none; run with --device cpu")
    if "RANK" in os.environ:
        return 1
    on_gpu = device == "cuda" or (device is None and torch.cuda.is_available())
    return asked or (torch.cuda.device_count() if on_gpu else cores())


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
