"""A keypoint network of a few convolutions, for tests that run the whole chain: converts in a second."""

from __future__ import annotations

import torch
from torch import nn


class SmallNetwork(nn.Module):
    """The interface of SuperPoint: (N, 1, H, W) in [0, 1] to ``semi`` (N, 65, H/8, W/8), ``desc`` (N, 16, H/8, W/8)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.body = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.neck = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.detector = nn.Conv2d(32, 65, 1)
        self.describer = nn.Conv2d(32, 16, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.stem(image).relu()
        x = self.body(x).relu()
        x = self.neck(x).relu()
        return self.detector(x), self.describer(x)


class SpaceToDepthNetwork(SmallNetwork):
    """The same behind a stem that only moves pixels: 2×2 blocks to channels by reshaping."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 8, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n, _, h, w = image.shape
        x = image.reshape(n, 1, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, 4, h // 2, w // 2)
        return super().forward(x)


class RefusedNetwork(SmallNetwork):
    """With an operator that the device does not take (Sin)."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        semi, desc = super().forward(image)
        return semi, desc.sin()


class WrongOutputs(SmallNetwork):
    """With 64 channels of logits: no keypoint network."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        semi, desc = super().forward(image)
        return semi[:, :64], desc


class OneOutput(SmallNetwork):
    """With one output only."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(image)[0]


class Broken(nn.Module):
    """Cannot be constructed."""

    def __init__(self) -> None:
        raise ValueError("needs a moon")


class NeedsArguments(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()


NOT_A_NETWORK = dict


class NormNetwork(SmallNetwork):
    """With batch norms behind convolutions with and without bias, whose statistics are far from neutral."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16))
        self.neck = nn.Sequential(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32))
        generator = torch.Generator().manual_seed(1)
        for norm in (self.body[1], self.neck[1]):
            norm.running_mean = torch.randn(norm.num_features, generator=generator) * 0.1
            norm.running_var = torch.rand(norm.num_features, generator=generator) + 0.5


class LowRankNetwork(SmallNetwork):
    """With descriptors of 32 values that lie in a subspace of 12 dimensions, and a little beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.describer = nn.Conv2d(32, 32, 1)

    def reset_describer(self) -> None:
        generator = torch.Generator().manual_seed(2)
        wide, narrow = torch.randn(32, 12, generator=generator), torch.randn(12, 32, generator=generator)
        with torch.no_grad():
            self.describer.weight.copy_(((wide @ narrow) / 12)[:, :, None, None])
            self.describer.weight.add_(1e-4 * torch.randn(32, 32, 1, 1, generator=generator))
            self.describer.bias.copy_(wide @ torch.randn(12, generator=generator) / 12)


class Dicts(SmallNetwork):
    """With its outputs in a dict, in another order and with more than is wanted, and its input in one."""

    def forward(self, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:  # type: ignore[override]
        semi, desc = super().forward(data["image"])
        return {"desc": desc, "probabilities": semi.softmax(1), "semi": semi}


class NormalisingNetwork(SmallNetwork):
    """With descriptors that it normalises itself, as torch writes it."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        semi, desc = super().forward(image)
        return semi, nn.functional.normalize(desc, dim=1)


class NormDividingNetwork(SmallNetwork):
    """The same by hand."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        semi, desc = super().forward(image)
        return semi, desc / desc.norm(dim=1, keepdim=True).clamp_min(1e-6)


class BadInBf16(SmallNetwork):
    """Trained in bf16, it says NaN; in f32 it does not."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        semi, desc = super().forward(image)
        return (semi * torch.nan if semi.dtype == torch.bfloat16 else semi), desc


class WideNetwork(SmallNetwork):
    """With four million weights, so that its checkpoint is larger than its images."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(4_000_000))


class DeployedOtherwise(SmallNetwork):
    """Ships other weights than it has."""

    def deployed(self) -> SmallNetwork:
        result = SmallNetwork()
        result.load_state_dict({name: 2 * value for name, value in self.state_dict().items()})
        return result.eval()


class DeployedNot(SmallNetwork):
    """Cannot be shipped."""

    def deployed(self) -> SmallNetwork:
        raise NotImplementedError("forgotten")


class DeployedAnother(SmallNetwork):
    """Ships a network that its class does not build."""

    def deployed(self) -> nn.Module:
        return nn.Conv2d(1, 1, 1)


class CoordinatesNetwork(SmallNetwork):
    """With each cell's coordinates beside its values: constants that follow from the image's size."""

    def __init__(self) -> None:
        super().__init__()
        self.neck = nn.Conv2d(18, 32, 3, stride=2, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.body(self.stem(image).relu()).relu()
        n, _, h, w = x.shape
        rows = torch.linspace(-1, 1, h)[None, None, :, None].expand(n, 1, h, w)
        columns = torch.linspace(-1, 1, w)[None, None, None, :].expand(n, 1, h, w)
        x = self.neck(torch.cat([x, rows, columns], 1)).relu()
        return self.detector(x), self.describer(x)


class WeightNormNetwork(SmallNetwork):
    """With convolutions whose weights are computed: a direction and a length for each channel."""

    def __init__(self) -> None:
        super().__init__()
        for part in (self.body, self.neck):
            torch.nn.utils.parametrizations.weight_norm(part)


class TransposedNormNetwork(SmallNetwork):
    """With batch norms behind transposed convolutions, one of them of two groups, whose statistics are not neutral."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.ConvTranspose2d(32, 24, 4, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.across = nn.Sequential(nn.ConvTranspose2d(24, 16, 3, 1, 1, groups=2), nn.BatchNorm2d(16), nn.ReLU())
        self.down = nn.Conv2d(16, 32, 3, 2, 1)
        generator = torch.Generator().manual_seed(1)
        for norm in (self.up[1], self.across[1]):
            norm.running_mean = torch.randn(norm.num_features, generator=generator) * 0.1
            norm.running_var = torch.rand(norm.num_features, generator=generator) + 0.5

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.neck(self.body(self.stem(image).relu()).relu()).relu()
        x = self.down(self.across(self.up(x))).relu()
        return self.detector(x), self.describer(x)


class MixingNetwork(SmallNetwork):
    """With something of each image in the next one of its batch: what no batch of one image shows."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        semi, desc = super().forward(image)
        return semi + (semi - semi.mean(0, keepdim=True)), desc
