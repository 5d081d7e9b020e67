"""Networks whose code writes to the standard streams."""
# ruff: noqa: T201 - as people's code does

from __future__ import annotations

import sys

import torch
from small_network import SmallNetwork

SAID = "said by the network"

print(SAID, "on import")


class Talking(SmallNetwork):
    """Prints when it is built and when it runs."""

    def __init__(self) -> None:
        super().__init__()
        print(SAID, "on building")
        sys.stdout.write(f"{SAID} without an end of line")

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        print(SAID, "on running", tuple(image.shape))
        return super().forward(image)
