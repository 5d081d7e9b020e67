"""EdgePoint2, a family of light keypoint networks with a score for every pixel.

Source: Yao, He, Hao, Xie 2025, «EdgePoint2: Compact Descriptors for Superior Efficiency and Accuracy»,
arXiv 2504.17280; weights by its authors under the MIT licence (github.com/HITCSC/EdgePoint2).

Layers carry the names of the authors' release, so that its state dicts load as they are; the widths are read from them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from oakpoint.networks.tensor_names import State

GROUP_CHANNELS = 16
"""Channels in each group of the descriptor head's 3×3 convolution."""


class _ConvNormReLU(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        convolution = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1, groups=groups, bias=False)
        self.layer = nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layer(x)
        return result


class _Residual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.layer(x) + self.skip(x))


class EdgePoint2(nn.Module):
    """Grey image to a score for every pixel and descriptors at 1/4 of the image.

    Input (N, 1, H, W) float, H and W multiples of 32; each image is normalised to mean 0 and variance 1 first. Output
    ``scores`` (N, 1, H, W), logits, and ``descriptors`` (N, D, H/4, W/4), not normalised, cell centres at the centres
    of 4×4 pixels.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (8, 8, 24, 32),
        descriptor_dim: int = 48,
        detector_channels: int = 8,
    ) -> None:
        """Build the network; EdgePoint2-S48 unless said otherwise.

        Args:
            widths: output channels of the layers at 1/2 (two), 1/8 and 1/32 of the image.
            descriptor_dim: D.
            detector_channels: of the detector's layers.
        """
        super().__init__()
        first, half, eighth, thirty_second = widths
        pyramid = half + eighth + thirty_second
        self.norm = nn.InstanceNorm2d(1)
        self.block1 = nn.Sequential(
            _ConvNormReLU(1, first, kernel=4, stride=2), _ConvNormReLU(first, half), _Residual(half, half)
        )
        self.block2 = _Residual(half, eighth)
        self.block3 = _Residual(eighth, thirty_second)
        self.desc_head = nn.Sequential(
            nn.Conv2d(pyramid, pyramid, 1),
            _ConvNormReLU(pyramid, pyramid, groups=pyramid // GROUP_CHANNELS),
            nn.Conv2d(pyramid, descriptor_dim, 1),
        )
        self.conv1 = nn.Conv2d(half, detector_channels, 1)
        self.conv2 = nn.Conv2d(eighth, detector_channels, 1)
        self.conv3 = nn.Conv2d(thirty_second, detector_channels, 1)
        self.score_head = nn.Sequential(
            nn.Conv2d(detector_channels, detector_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(detector_channels, detector_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(detector_channels, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    @classmethod
    def for_state(cls, state: State) -> EdgePoint2:
        """The member of the family that a state dict belongs to, without its weights.

        Raises:
            KeyError, IndexError, ValueError: the state dict is not EdgePoint2's.
        """
        blocks = ("block1.0.layer.0", "block1.1.layer.0", "block2.layer.0", "block3.layer.0")
        first, half, eighth, thirty_second = (state[f"{name}.weight"].shape[0] for name in blocks)
        return cls(
            (first, half, eighth, thirty_second), state["desc_head.2.weight"].shape[0], state["conv1.weight"].shape[0]
        )

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (scores, descriptors)."""
        half = self.block1(self.norm(image))
        quarter = functional.avg_pool2d(half, 2)
        eighth = self.block2(functional.avg_pool2d(quarter, 2))
        thirty_second = self.block3(functional.avg_pool2d(eighth, 4))
        pyramid = torch.cat([quarter, _enlarged(eighth, 2), _enlarged(thirty_second, 8)], dim=1)
        detector = self.conv1(half) + _enlarged(self.conv2(eighth), 4) + _enlarged(self.conv3(thirty_second), 16)
        return self.score_head(detector), self.desc_head(pyramid)


def _enlarged(x: torch.Tensor, factor: int) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
