"""One training process among several: its rank, its device, gradients averaged over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel


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
        """The module with gradients averaged over all processes."""
        if self.world == 1:
            return module
        return DistributedDataParallel(
            module, device_ids=[self.device.index] if self.device.type == "cuda" else None, broadcast_buffers=False
        )


@contextmanager
def join_processes(device: str | None = None) -> Iterator[Place]:
    """Join the processes that ``torchrun`` started (``RANK`` and ``WORLD_SIZE`` of the environment), or stand alone.

    Args:
        device: ``cpu`` or ``cuda``; None takes a GPU when there is one.
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    index = int(os.environ.get("LOCAL_RANK", 0)) if kind == "cuda" else None
    place = Place(rank, world, torch.device(kind, index) if index is not None else torch.device(kind))
    if world == 1:
        yield place
        return
    if kind == "cuda":
        torch.cuda.set_device(place.device)
    torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield place
    finally:
        torch.distributed.destroy_process_group()
