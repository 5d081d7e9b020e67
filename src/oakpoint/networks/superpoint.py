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
from oakpoint.networks.tensor_names import COUNTER, State

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


_CONVOLUTIONS = (*(f"{block}{part}" for block in range(1, 5) for part in "ab"), "Pa", "Pb", "Da", "Db")
"""Which convolutions there are, as ``conv1a`` … are called after."""

_FIRST_OF_NORM_FIRST, _FIRST_OF_RELU_FIRST = "inc.conv.conv.0.weight", "backbone.0.0.conv.weight"
"""Tensors that tell the two published layouts with batch norms."""


class SuperPoint(nn.Module):
    """Grey image in [0, 1] to detector logits and coarse descriptors.

    Input (N, 1, H, W) float, H and W multiples of 8. Output ``semi`` (N, 65, H/8, W/8), logits with the dustbin last,
    and ``desc`` (N, 256, H/8, W/8), not normalised: the paper's L2 normalisation is done where descriptors are sampled,
    since it overflows FP16 on the Myriad X.

    Attributes:
        other_names: of tensors elsewhere → here; see ``tensor_names.fitted``.
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

    @classmethod
    def for_state(cls, state: State) -> nn.Module:
        """The published layout that a state dict is of, without its weights.

        Raises:
            KeyError: none of them.
        """
        if _FIRST_OF_NORM_FIRST in state:
            return NormedSuperPoint(norm_first=True)
        if _FIRST_OF_RELU_FIRST in state:
            return NormedSuperPoint(norm_first=False)
        if "conv1a.weight" in state or next(iter(cls.other_names)) in state:
            return cls()
        raise KeyError("conv1a.weight")

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


def _names_of_normed() -> dict[str, str]:
    """Names of both layouts → here. Source: the files that ``NormedSuperPoint`` names."""
    layers: dict[str, str] = {}
    for block in range(1, 5):
        convolutions = "inc.conv.conv" if block == 1 else f"down{block - 1}.mpconv.1.conv"
        for index, part in enumerate("ab"):
            layers[f"{convolutions}.{3 * index}"] = f"conv{block}{part}"
            layers[f"{convolutions}.{3 * index + 1}"] = f"norm{block}{part}"
            for theirs, ours in (("conv", "conv"), ("bn", "norm")):
                layers[f"backbone.{block - 1}.{index}.{theirs}"] = f"{ours}{block}{part}"
    for head, letter in (("detector", "P"), ("descriptor", "D")):
        for index, part in enumerate("ab"):
            layers[f"bn{letter}{part}"] = f"norm{letter}{part}"
            layers[f"{head}.{index}.conv"], layers[f"{head}.{index}.bn"] = f"conv{letter}{part}", f"norm{letter}{part}"
    kinds = ("weight", "bias", "running_mean", "running_var", COUNTER)
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in layers.items() for kind in kinds}


class NormedSuperPoint(nn.Module):
    """SuperPoint with a batch norm at every convolution, the heads' last ones included; same input and outputs.

    Two layouts are published. In one the norm comes before the ReLU, with PyTorch's epsilon (SuperPointNet_gauss2 of
    github.com/eric-yyjau/pytorch-superpoint); in the other behind it, with TensorFlow's (superpoint_pytorch.py of
    github.com/rpautrat/SuperPoint). ``desc`` is not normalised, as with ``SuperPoint``.

    Attributes:
        other_names: of tensors in both → here; see ``tensor_names.fitted``.
    """

    other_names: ClassVar[dict[str, str]] = _names_of_normed()

    def __init__(self, *, norm_first: bool) -> None:
        """Build the network.

        Args:
            norm_first: the norm comes before the ReLU.
        """
        super().__init__()
        self._norm_first = norm_first
        epsilon = 1e-5 if norm_first else 1e-3
        plain = SuperPoint()
        for name in _CONVOLUTIONS:
            convolution = plain.get_submodule(f"conv{name}")
            assert isinstance(convolution, nn.Conv2d)
            self.add_module(f"conv{name}", convolution)
            self.add_module(f"norm{name}", nn.BatchNorm2d(convolution.out_channels, eps=epsilon))
        self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(kernel_size=2, stride=2)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (semi, desc)."""
        x = image
        for block in range(1, len(ENCODER_CHANNELS) + 1):
            x = self._layer(f"{block}b", self._layer(f"{block}a", x))
            if block < len(ENCODER_CHANNELS):
                x = self.pool(x)
        semi, desc = (self._last(f"{head}b", self._layer(f"{head}a", x)) for head in "PD")
        return semi, desc

    def _layer(self, name: str, x: torch.Tensor) -> torch.Tensor:
        x, norm = self.get_submodule(f"conv{name}")(x), self.get_submodule(f"norm{name}")
        result: torch.Tensor = self.relu(norm(x)) if self._norm_first else norm(self.relu(x))
        return result

    def _last(self, name: str, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.get_submodule(f"norm{name}")(self.get_submodule(f"conv{name}")(x))
        return result


def _conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
