"""acorn: a small keypoint network of our own, with SuperPoint's interface, made for the Myriad X and for CPUs.

Plain 3×3 and 1×1 convolutions with ReLU, strided instead of pooled, widths in multiples of 16. Three strided
convolutions bring the image to 1/8 quickly: full-resolution layers are what costs most on the Myriad's neural compute
engine, whose channels come in blocks, so that few channels at many pixels waste most of it.
"""

from __future__ import annotations

import torch
from torch import nn

from oakpoint.features.types import LOGIT_CHANNELS
from oakpoint.networks.folding import folded

ENCODER = ((16, 2), (32, 2), (32, 1), (64, 2), (64, 1))
"""(output channels, stride) of the encoder's 3×3 convolutions."""

DETECTOR_CHANNELS = 64
DESCRIPTOR_CHANNELS = 64
DESCRIPTOR_DIM = 64


class Acorn(nn.Module):
    """Grey image in [0, 1] to detector logits and coarse descriptors.

    Input (N, 1, H, W) float, H and W multiples of 8. Output ``semi`` (N, 65, H/8, W/8), logits with the dustbin last,
    and ``desc`` (N, 64, H/8, W/8), not normalised. 0.94 G multiply-accumulates at 480×640, where SuperPoint has 26.1 G.
    """

    decode_preset = "acorn"

    def __init__(self, *, batch_norm: bool = False) -> None:
        """Build the network.

        Args:
            batch_norm: put a batch norm behind every convolution with a ReLU, as it is trained; ``deployed`` makes
                the network without them.
        """
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 1
        for channels, stride in ENCODER:
            layers.append(_conv3x3(in_channels, channels, stride, batch_norm))
            in_channels = channels
        self.encoder = nn.Sequential(*layers)
        self.detector = nn.Sequential(
            _conv3x3(in_channels, DETECTOR_CHANNELS, 1, batch_norm), nn.Conv2d(DETECTOR_CHANNELS, LOGIT_CHANNELS, 1)
        )
        self.descriptor = nn.Sequential(
            _conv3x3(in_channels, DESCRIPTOR_CHANNELS, 1, batch_norm), nn.Conv2d(DESCRIPTOR_CHANNELS, DESCRIPTOR_DIM, 1)
        )

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (semi, desc)."""
        x = self.encoder(image)
        return self.detector(x), self.descriptor(x)

    @classmethod
    def trainable(cls) -> Acorn:
        """The network as it is trained."""
        return cls(batch_norm=True)

    def deployed(self) -> Acorn:
        """The same function in evaluation mode, batch norms folded into the convolutions."""
        result = Acorn()
        for name in ("encoder", "detector", "descriptor"):
            result.get_submodule(name).load_state_dict(folded(self.get_submodule(name)).state_dict())
        return result.eval()


def _conv3x3(in_channels: int, out_channels: int, stride: int, batch_norm: bool) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=not batch_norm)
    norm = [nn.BatchNorm2d(out_channels)] if batch_norm else []
    return nn.Sequential(convolution, *norm, nn.ReLU())
