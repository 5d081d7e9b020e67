"""Networks whose export holds numbers that follow from the image's size."""

from __future__ import annotations

import torch
from small_network import SmallNetwork
from torch import nn


class Factor(SmallNetwork):
    """Multiplies with a number that Python computes from the width: other sizes run, and are wrong."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(image * (64.0 / image.shape[-1]))


class Ramp(SmallNetwork):
    """Adds a ramp over the rows: other sizes do not run."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(image + torch.linspace(-1, 1, image.shape[-2])[:, None])


class Resized(SmallNetwork):
    """Resizes its outputs to the size that Python computes: other sizes run, and keep that one."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        size = image.shape[-2] // 8, image.shape[-1] // 8
        semi, desc = (nn.functional.interpolate(output, size=size) for output in super().forward(image))
        return semi, desc


class Demanding(SmallNetwork):
    """Takes multiples of 64 alone, and is right at all of them."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if image.shape[-1] % 64 or image.shape[-2] % 64:
            raise ValueError("multiples of 64, please")
        return super().forward(image)


class OneSize(SmallNetwork):
    """Takes 64×64 alone."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if image.shape[-2:] != (64, 64):
            raise ValueError("64x64, please")
        return super().forward(image)


class NotANumber(SmallNetwork):
    """Puts out not-a-number in some places, the same ones everywhere: that is no difference."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        semi, desc = super().forward(image)
        return semi, desc / desc.relu().sign()


class SequenceNetwork(SmallNetwork):
    """Normalises over pixels in a row; its batch cannot be left open."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm([32])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.neck(self.body(self.stem(image).relu()).relu())
        n, c, h, w = x.shape
        x = self.norm(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, c, h, w)
        return self.detector(x), self.describer(x)
