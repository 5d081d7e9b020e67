"""Networks whose code writes to the standard streams, or makes torch write there."""
# ruff: noqa: T201 - as people's code does

from __future__ import annotations

import sys

import torch
from small_network import SmallNetwork
from torch import nn

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


class SequenceNetwork(SmallNetwork):
    """Normalises over pixels in a row, whose export with an open batch torch refuses with pages of tracebacks."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm([32])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.neck(self.body(self.stem(image).relu()).relu())
        n, c, h, w = x.shape
        x = self.norm(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, c, h, w)
        return self.detector(x), self.describer(x)
