"""The training loop: views, losses, steps, a moving average, checkpoints and metrics."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from oakpoint.errors import TrainingError
from oakpoint.training.checkpoint import Progress, load_checkpoint, save_checkpoint, save_tensors
from oakpoint.training.losses import Losses, losses_of
from oakpoint.training.metrics import METRICS_FILE, append_metrics, drop_metrics_after
from oakpoint.training.options import TrainingOptions
from oakpoint.training.processes import Place
from oakpoint.training.views import PairSampler, ViewPairs

BAD_BATCH_FILE = "bad_batch.pt"
REPORT_EVERY = 50
CHECKPOINT_EVERY_S = 30.0
EARLY_VALIDATIONS = (100, 300)


@dataclass(frozen=True, slots=True)
class StepReport:
    """Figures of the steps since the last report.

    Attributes:
        step: steps done.
        losses: mean of each loss, by name.
        views_per_s: views of all processes.
    """

    step: int
    losses: dict[str, float]
    views_per_s: float


class Listener(Protocol):
    """Hears of a run's progress."""

    def stepped(self, report: StepReport) -> None:
        """Some steps were taken."""

    def validated(self, step: int, figures: dict[str, float | None]) -> None:
        """The averaged network was validated."""


Validate = Callable[[nn.Module, int], dict[str, float | None]]


def train(
    network: nn.Module,
    sampler: PairSampler,
    options: TrainingOptions,
    folder: Path,
    place: Place,
    *,
    listener: Listener,
    validate: Validate | None = None,
) -> nn.Module:
    """Train a network, from the folder's checkpoint on when it holds one.

    Args:
        network: on the place's device; changed.
        sampler: of view pairs, on the same device.
        options: how to train.
        folder: gets ``checkpoint.pt`` and ``metrics.jsonl``.
        place: this process among the others.
        listener: hears of progress, on the first process.
        validate: gives figures of a network in evaluation mode; called on the first process.

    Returns:
        The moving average of the network, in evaluation mode.

    Raises:
        TrainingError: a loss or a gradient is not finite; the batch is kept in ``bad_batch.pt``, another process's in
            ``bad_batch_1.pt`` and so on. No weight has changed in the step, statistics of batch norms have.
    """
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    progress = load_checkpoint(folder, network, average, optimiser)
    run = _Run(network.train(), average, optimiser, sampler, options, folder, place)
    log = _Log(folder, progress, options, place, listener)
    saved = time.monotonic()
    for step in range(progress.step, options.steps):
        log.add(run.step(step))
        if place.first and log.due(step + 1):
            log.report(step + 1)
        if place.first and validate and _to_validate(step + 1, options):
            log.validated(step + 1, validate(average, step + 1))
        # After the validation: a run that is stopped in its last one finds it still to do.
        if place.first and (time.monotonic() - saved > CHECKPOINT_EVERY_S or step + 1 == options.steps):
            save_checkpoint(folder, log.progress(step + 1), network, average, optimiser)
            saved = time.monotonic()
    return average


def _to_validate(step: int, options: TrainingOptions) -> bool:
    """At even distances, at the end, and early on, where a run that goes astray shows."""
    return step in EARLY_VALIDATIONS or step % options.validate_every == 0 or step == options.steps


class _Run:
    """Takes single steps."""

    def __init__(
        self,
        network: nn.Module,
        average: nn.Module,
        optimiser: torch.optim.Optimizer,
        sampler: PairSampler,
        options: TrainingOptions,
        folder: Path,
        place: Place,
    ) -> None:
        self._network, self._average, self._optimiser = network, average, optimiser
        self._sampler, self._options, self._folder, self._place = sampler, options.on(place.device), folder, place
        self._distributed = place.distributed(network)
        self._generator = torch.Generator(place.device)

    def step(self, step: int) -> Losses:
        """Take step number ``step``; give its losses."""
        options, place = self._options, self._place
        self._generator.manual_seed((options.seed * 1_000_003 + step) * place.world + place.rank)
        pairs = self._sampler.draw(options.pairs, self._generator)
        with torch.autocast(place.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            semi, desc = self._distributed(pairs.views.contiguous(memory_format=torch.channels_last))
        losses = losses_of(semi, desc, pairs, options.loss)
        loss = losses.total(options.loss)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), options.gradient_norm)
        if place.ranks_with(not bool(torch.isfinite(loss + norm))):  # one is enough: gradients are averaged
            self._give_up(step, pairs, losses, norm)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(step, options)
        self._optimiser.step()
        self._follow(step)
        return losses

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average towards the network; quickly at first, so that its random start is forgotten."""
        decay = min(self._options.ema_decay, (1 + step) / (10 + step))
        own = self._network.state_dict()
        for name, value in self._average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(own[name], 1 - decay)
            else:
                value.copy_(own[name])

    def _give_up(self, step: int, pairs: ViewPairs, losses: Losses, norm: torch.Tensor) -> None:
        """Keep the batches that gave it, of all processes, and stop all of them."""
        place, own = self._place, losses.by_name()
        finite = all(bool(torch.isfinite(value)) for value in own.values())
        guilty = place.ranks_with(not finite) or [*range(place.world)]
        if place.rank in guilty:
            save_tensors(self._bad_batch(place.rank), {"step": step, **pairs.state()})
        place.wait()  # the first one ends the others
        told = ", ".join(f"{name} {value.item():g}" for name, value in own.items())
        where = f" on images {pairs.images.tolist()}" if place.rank in guilty else " (another process's were not)"
        raise TrainingError(
            f"step {step}: expected finite losses and gradients, got {told} and a gradient of norm {norm.item():g}"
            f"{where}; the batch is in {', '.join(str(self._bad_batch(rank)) for rank in guilty)}. "
            "The same command with a lower --learning-rate or with --precision f32 goes on from the last checkpoint"
        )

    def _bad_batch(self, rank: int) -> Path:
        path = self._folder / BAD_BATCH_FILE
        return path.with_stem(f"{path.stem}_{rank}") if rank else path


def learning_rate(step: int, options: TrainingOptions) -> float:
    """The rate of a step: linear warm-up, then half a cosine down to 0 (Loshchilov, Hutter 2017, arXiv 1608.03983)."""
    warm = min(1.0, (step + 1) / max(1, options.warmup_steps))
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / options.steps))


class _Log:
    """Keeps ``metrics.jsonl`` and the clock."""

    def __init__(
        self, folder: Path, progress: Progress, options: TrainingOptions, place: Place, listener: Listener
    ) -> None:
        self._path = folder / METRICS_FILE
        self._options, self._listener, self._reports = options, listener, place.first
        self._views = 2 * options.pairs * place.world
        self._before, self._begun = progress.seconds, time.monotonic()
        self._since, self._since_step = self._begun, progress.step
        self._steps: list[dict[str, torch.Tensor]] = []
        if place.first:
            drop_metrics_after(self._path, progress.step)

    def add(self, losses: Losses) -> None:
        if self._reports:
            self._steps.append(losses.by_name())

    def due(self, step: int) -> bool:
        return step % REPORT_EVERY == 0 or step == self._options.steps

    def report(self, step: int) -> None:
        now = time.monotonic()
        means = {name: torch.stack([step[name] for step in self._steps]).mean().item() for name in self._steps[0]}
        rate = self._views * (step - self._since_step) / (now - self._since)
        append_metrics(
            self._path,
            {
                "step": step,
                **{f"{name}_loss": value for name, value in means.items()},
                "learning_rate": learning_rate(step - 1, self._options),
                "views_per_s": rate,
                "seconds": self.progress(step).seconds,
            },
        )
        self._steps, self._since, self._since_step = [], now, step
        self._listener.stepped(StepReport(step, means, rate))

    def validated(self, step: int, figures: dict[str, float | None]) -> None:
        append_metrics(self._path, {"step": step, "validation": figures})
        self._since = time.monotonic()
        self._since_step = step
        self._steps = []
        self._listener.validated(step, figures)

    def progress(self, step: int) -> Progress:
        return Progress(step, self._before + time.monotonic() - self._begun)
