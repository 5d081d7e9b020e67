"""One training process among several: its rank, its device, gradients averaged over all of them."""

from __future__ import annotations

import importlib
import inspect
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
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from oakpoint.errors import OakpointError, TrainingError, UsageError, first_line
from oakpoint.threads import cores

LONGEST_WAIT = timedelta(hours=12)
"""For another process: the first one may read videos for hours while the others wait."""

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
        # Its name since torch 2.13; before, it was a part of what ``broadcast_buffers`` does.
        known = inspect.signature(DistributedDataParallel).parameters
        own_statistics = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        options: dict[str, Any] = {own_statistics: False}
        return DistributedDataParallel(module, device_ids=ids, **options)

    def ranks_with(self, flag: bool) -> list[int]:
        """Ranks of the processes in which a flag is set; all processes ask together."""
        if self.world == 1:
            return [0] if flag else []
        flags = torch.zeros(self.world, device=self.device)
        flags[self.rank] = flag
        torch.distributed.all_reduce(flags)
        return [int(rank) for rank in torch.nonzero(flags)[:, 0]]

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

    torch's CPU threads are shared out to the processes meanwhile.
    """
    rank = meeting.rank if meeting else int(os.environ.get("RANK", 0))
    world = meeting.world if meeting else int(os.environ.get("WORLD_SIZE", 1))
    threads = torch.get_num_threads()
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda":
        _check_gpus(int(os.environ.get("LOCAL_WORLD_SIZE", world)) if meeting is None else world)
    local_rank = meeting.rank if meeting else int(os.environ.get("LOCAL_RANK", 0))
    place = Place(rank, world, torch.device(kind, local_rank) if kind == "cuda" else torch.device(kind))
    if kind == "cuda":
        torch.cuda.set_device(place.device)
    else:
        torch.set_num_threads(max(1, cores() // world))
    if world == 1:
        try:
            yield place
        finally:
            torch.set_num_threads(threads)
        return
    # DistributedDataParallel imports it. Where a group exists by then, the import keeps it alive (torch 2.13): gloo's
    # threads outlive destroy_process_group, and now and then a process aborts at its end.
    importlib.import_module("torch._dynamo")
    torch.distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=meeting.file.as_uri() if meeting else None,
        rank=rank,
        world_size=world,
        timeout=LONGEST_WAIT,
    )
    try:
        yield place
    finally:
        torch.distributed.destroy_process_group()
        torch.set_num_threads(threads)


def run_in_processes(work: Work[Argument, Result], argument: Argument, processes: int) -> Result:
    """Do the work in this process as the first, and in others beside it; they end with this one.

    Args:
        work: a function of a module, called with the argument and the meeting.
        argument: can be pickled.
        processes: in all.

    Returns:
        What the work gives in this process.

    Raises:
        TrainingError: another process is gone, or memory is short.
    """
    if processes == 1:
        try:
            return work(argument, None)
        except RuntimeError as error:
            _raise_for_user(error)
            raise
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
        except RuntimeError as error:
            if not _says_partner_is_gone(error):
                _raise_for_user(error)
                raise
            codes = ", ".join(map(str, _codes_of_ended(others))) or "unknown"
            raise TrainingError(
                f"another training process ended (exit code {codes}); is memory short? The same command goes on from "
                "the last checkpoint, with --processes 1 or fewer --pairs it needs less"
            ) from error
        finally:
            for other in others:
                other.terminate()
                other.join()


def _says_partner_is_gone(error: RuntimeError) -> bool:
    """Whether this is gloo's or NCCL's word for a process that it waits for in vain."""
    return isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in ("gloo", "NCCL"))


def _raise_for_user(error: RuntimeError) -> None:
    """Raise in its place what a user can act on, if it is such an error."""
    if _says_partner_is_gone(error):
        raise TrainingError(f"another training process ended ({first_line(error)})") from error
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        raise TrainingError(
            f"memory is short ({first_line(error)}); the same command with fewer --pairs goes on from the last "
            "checkpoint"
        ) from error


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
        UsageError: a device that is unknown or not there, or more processes than GPUs.
    """
    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"device: expected cpu or cuda, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: expected a GPU that torch can use, got none; run with --device cpu")
    on_gpu = device == "cuda" or (device is None and torch.cuda.is_available())
    if "RANK" in os.environ:
        return 1
    count = asked or (torch.cuda.device_count() if on_gpu else cores())
    if on_gpu:
        _check_gpus(count)
    return count


def _check_gpus(processes: int) -> None:
    """Refuse more processes of this machine than it has GPUs; they would wait for each other."""
    if processes > (there := torch.cuda.device_count()):
        raise UsageError(
            f"processes: expected one for each GPU, {there} here, at most, got {processes}; or run with --device cpu"
        )
