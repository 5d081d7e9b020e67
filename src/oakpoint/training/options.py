"""What a training run is given; all of it is kept in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch

from oakpoint.errors import UsageError
from oakpoint.features.types import CELL_PX
from oakpoint.training.losses import LossOptions
from oakpoint.training.views import ViewOptions

Precision = Literal["bf16", "f32"]


def default_precision(device: torch.device) -> Precision:
    """The quicker one: bf16 on GPUs and CPUs that multiply in it, else f32.

    One step of acorn, 8 views, one thread, f32 and bf16 in ms: 88 and 41 with AMX; 86 and 227 with AVX-512 but not its
    bf16, 122 and 1043 with AVX2, where torch widens and rounds every number.
    """
    if device.type == "cuda":  # before compute capability 8 torch only emulates it
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "f32"
    # Not public in torch 2.6 to 2.13, and gone from it some day: f32 is right everywhere.
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bf16" if any(supported() for supported in asked if supported is not None) else "f32"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How a network is trained.

    Attributes:
        steps: how many optimiser steps.
        pairs: view pairs of a step in each process.
        learning_rate: highest rate of AdamW; it rises over ``warmup_steps`` and falls by a cosine to 0.
        weight_decay: of AdamW.
        warmup_steps: over which the rate rises from 0.
        ema_decay: of the moving average of the weights that is validated and shipped.
        gradient_norm: largest norm of the gradient; larger ones are scaled down.
        precision: of the convolutions; losses are f32 always. None: see ``default_precision``.
        seed: of weights and views.
        views: how views are drawn.
        loss: the losses' weights.
        validate_every: steps from one validation to the next.

    Raises:
        UsageError: an unknown precision, or views whose sides are no multiples of 8.
    """

    steps: int
    pairs: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 200
    ema_decay: float = 0.999
    gradient_norm: float = 5.0
    precision: Precision | None = None
    seed: int = 0
    views: ViewOptions = field(default_factory=ViewOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    validate_every: int = 1000

    def __post_init__(self) -> None:
        if self.precision not in (None, *get_args(Precision)):
            raise UsageError(f"precision: expected one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        if any(side < CELL_PX or side % CELL_PX for side in self.views.size):
            raise UsageError(f"view: expected sides that are multiples of {CELL_PX} px, got {self.views.size}")

    def on(self, device: torch.device) -> TrainingOptions:
        """The same, with the precision that a device gets unless one was asked for."""
        return replace(self, precision=self.precision or default_precision(device))
