"""ALIKE, a family of keypoint networks with a score and a descriptor for every pixel.

Source: Zhao, Wu, Miao, Chen, Chen, Li 2022, «ALIKE: Accurate and Lightweight Keypoint Detection and Descriptor
Extraction», arXiv 2112.02906; weights by its authors under the BSD-3 licence (github.com/Shiaoming/ALIKE).

Layers carry the names of the authors' release, so that its state dicts load as they are; the widths are read from them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from oakpoint.networks.tensor_names import State

POOLS = (2, 4, 4)
"""Side of the max pooling in front of blocks 2, 3 and 4 (paper, section III-A)."""

COARSEST_PX = 32
"""Side of a pixel of block 4 in pixels of the image."""


class _Block(nn.Module):
    """Two 3×3 convolutions; from the second block on beside a 1×1 one (paper, section III-A)."""

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = nn.Conv2d(in_channels, out_channels, 1) if residual else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(inner if self.downsample is None else inner + self.downsample(x))


class Alike(nn.Module):
    """RGB image to a score and a descriptor for every pixel.

    Input (N, 3, H, W) float in [0, 1], of any size, or (N, 1, H, W), where grey stands for all three colours; zeros at
    the right and bottom fill the image up to multiples of 32. Output ``scores`` (N, 1, H, W), logits, and
    ``descriptors`` (N, D, H, W), not normalised.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 32, 64, 128),
        descriptor_dim: int = 128,
        *,
        two_convolutions: bool = False,
    ) -> None:
        """Build the network; ALIKE-n, the normal variant, unless said otherwise.

        Args:
            widths: output channels of the four blocks.
            descriptor_dim: D.
            two_convolutions: whether the head has a 1×1 convolution in front of its last one, as the large variant has.
        """
        super().__init__()
        in_channels = 3
        for number, channels in enumerate(widths, start=1):
            self.add_module(f"block{number}", _Block(in_channels, channels, residual=number > 1))
            self.add_module(f"conv{number}", nn.Conv2d(channels, descriptor_dim // len(widths), 1, bias=False))
            in_channels = channels
        self.convhead1 = nn.Conv2d(descriptor_dim, descriptor_dim, 1, bias=False) if two_convolutions else None
        self.convhead2 = nn.Conv2d(descriptor_dim, descriptor_dim + 1, 1, bias=False)

    @classmethod
    def for_state(cls, state: State) -> Alike:
        """The member of the family that a state dict belongs to, without its weights.

        Raises:
            KeyError, IndexError, ValueError: the state dict is not ALIKE's.
        """
        first, second, third, fourth = (state[f"block{number}.conv1.weight"].shape[0] for number in range(1, 5))
        descriptor_dim = state["convhead2.weight"].shape[1]
        return cls((first, second, third, fourth), descriptor_dim, two_convolutions="convhead1.weight" in state)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (scores, descriptors)."""
        height, width = image.shape[2:]
        x = functional.pad(image, (0, -width % COARSEST_PX, 0, -height % COARSEST_PX))
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        levels, factor = [], 1
        for number, pool in enumerate((1, *POOLS), start=1):
            factor *= pool
            x = self.get_submodule(f"block{number}")(functional.max_pool2d(x, pool) if pool > 1 else x)
            level = functional.relu(self.get_submodule(f"conv{number}")(x))
            levels.append(_enlarged(level, factor) if factor > 1 else level)
        features = torch.cat(levels, dim=1)
        if self.convhead1 is not None:
            features = functional.relu(self.convhead1(features))
        head = self.convhead2(features)[:, :, :height, :width]
        return head[:, -1:], head[:, :-1]


def _enlarged(x: torch.Tensor, factor: int) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)
