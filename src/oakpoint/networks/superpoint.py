"""SuperPoint: a VGG-style encoder to 1/8 of the image and two heads.

Source: DeTone, Malisiewicz, Rabinovich 2018, «SuperPoint: Self-Supervised Interest Point Detection and Description»,
arXiv 1712.07629.

Layers carry the names of the original PyTorch release, so that its state dict loads as it is.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from oakpoint.features.types import LOGIT_CHANNELS

ENCODER_CHANNELS = (64, 64, 128, 128)
"""Output channels of the four encoder blocks, two 3×3 convolutions each (paper, section 3.1 and 6)."""

HEAD_CHANNELS = 256
DESCRIPTOR_DIM = 256

_PARTS_IN_TRANSFORMERS = {
    **{f"encoder.conv_blocks.{block - 1}.conv_{part}": f"conv{block}{part}" for block in range(1, 5) for part in "ab"},
    **{f"keypoint_decoder.conv_score_{part}": f"convP{part}" for part in "ab"},
    **{f"descriptor_decoder.conv_descriptor_{part}": f"convD{part}" for part in "ab"},
}
"""Source: ``modeling_superpoint.py`` of Hugging Face's Transformers, which names the same layers so."""


class SuperPoint(nn.Module):
    """Grey image in [0, 1] to detector logits and coarse descriptors.

    Input (N, 1, H, W) float, H and W multiples of 8. Output ``semi`` (N, 65, H/8, W/8), logits with the dustbin last,
    and ``desc`` (N, 256, H/8, W/8), not normalised: the paper's L2 normalisation is done where descriptors are sampled,
    since it overflows FP16 on the Myriad X.

    Attributes:
        other_names: of tensors elsewhere → here; see ``weights.fitted``.
    """

    other_names: ClassVar[dict[str, str]] = {
        f"{theirs}.{kind}": f"{ours}.{kind}"
        for theirs, ours in _PARTS_IN_TRANSFORMERS.items()
        for kind in ("weight", "bias")
    }

    def __init__(self) -> None:
        super().__init__()
        in_channels = 1
        for block, channels in enumerate(ENCODER_CHANNELS, start=1):
            self.add_module(f"conv{block}a", _conv3x3(in_channels, channels))
            self.add_module(f"conv{block}b", _conv3x3(channels, channels))
            in_channels = channels
        self.convPa = _conv3x3(in_channels, HEAD_CHANNELS)
        self.convPb = nn.Conv2d(HEAD_CHANNELS, LOGIT_CHANNELS, kernel_size=1)
        self.convDa = _conv3x3(in_channels, HEAD_CHANNELS)
        self.convDb = nn.Conv2d(HEAD_CHANNELS, DESCRIPTOR_DIM, kernel_size=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (semi, desc)."""
        x = image
        for block in range(1, len(ENCODER_CHANNELS) + 1):
            x = self.relu(self.get_submodule(f"conv{block}a")(x))
            x = self.relu(self.get_submodule(f"conv{block}b")(x))
            if block < len(ENCODER_CHANNELS):
                x = self.pool(x)
        semi = self.convPb(self.relu(self.convPa(x)))
        desc = self.convDb(self.relu(self.convDa(x)))
        return semi, desc


def _conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
