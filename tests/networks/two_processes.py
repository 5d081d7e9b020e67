"""What each of two processes does that train together, in a module that a spawned process can import."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import torch
from small_network import SmallNetwork

from oakpoint.errors import TrainingError
from oakpoint.training.loop import train
from oakpoint.training.losses import LossOptions
from oakpoint.training.options import TrainingOptions
from oakpoint.training.processes import Meeting, Place, join_processes
from oakpoint.training.views import ViewPairs

# The positions of a batch are weighted by confidence: their mean over halves is not that over the whole.
OPTIONS = TrainingOptions(steps=4, pairs=2, warmup_steps=2, precision="f32", loss=LossOptions(position_weight=0.0))


class Given:
    """A sampler of given pairs, another batch for each step; one process of several gets its share."""

    def __init__(self, batches: list[ViewPairs], place: Place) -> None:
        self.batches, self.place, self.step = batches, place, 0

    def draw(self, pairs: int, generator: torch.Generator) -> ViewPairs:
        batch, self.step = self.batches[self.step], self.step + 1
        chosen = torch.arange(self.place.rank, 2, self.place.world)
        both = torch.cat([chosen, chosen + 2])
        return ViewPairs(
            batch.views[both], batch.cells[both], batch.cell_weights[both], batch.points[both],
            batch.homographies[both],
            batch.descriptors[chosen], batch.valid[chosen], batch.images[chosen],
        )  # fmt: skip


class Unheard:
    def stepped(self, report: object) -> None: ...

    def validated(self, step: int, figures: object) -> None: ...


def trained(folder: Path, batches: list[ViewPairs], place: Place, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    network = SmallNetwork()
    options = replace(OPTIONS, pairs=2 // place.world)
    train(network, Given(batches, place), options, folder, place, listener=Unheard())
    return network.state_dict()


def in_process(rank: int, folder: Path, seeds: tuple[int, int]) -> None:
    """What each of two processes does."""
    with join_processes("cpu", Meeting(rank, 2, folder / "meeting")) as place:
        batches = torch.load(folder / "batches.pt", weights_only=False)
        try:
            state = trained(folder, batches, place, seeds[rank])
            torch.save(state, folder / f"state_{rank}.pt")
        except TrainingError as error:
            (folder / f"error_{rank}.txt").write_text(str(error))
    (folder / f"threads_{rank}.txt").write_text("\n".join(gloo_threads()))


def gloo_threads() -> list[str]:
    """Names of the threads of gloo's process groups that run in this process, where Linux lists them."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if name.startswith("pt_gloo")]


def waiting(folder: Path, meeting: Meeting | None) -> None:
    """Says which process it is, and then is busy with something in which no process meets another."""
    assert meeting is not None
    (folder / f"new_{meeting.rank}").write_text(str(os.getpid()))
    (folder / f"new_{meeting.rank}").rename(folder / f"pid_{meeting.rank}")
    time.sleep(600)
