"""Small networks of the kinds that tasks are for, whose random weights find something: a few lines each, from papers.

All take an image (N, 3, H, W) in [0, 1].
"""

from __future__ import annotations

import torch
from torch import nn

SIZE = (192, 128)
"""(W, H) of the images that they are exported for."""


class ConvNorm(nn.Sequential):
    """Convolution, batch norm with statistics that are not neutral, and an activation."""

    def __init__(self, given: int, made: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: bool = True):
        layers: list[nn.Module] = [
            nn.Conv2d(given, made, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(made),
        ]
        super().__init__(*layers, *([nn.SiLU()] if act else []))


def settled(
    network: nn.Module,
    seed: int,
    size: tuple[int, int] = (96, 64),
    *,
    channels: int = 3,
    images: int = 1,
    beside: int = 0,
) -> nn.Module:
    """Give random weights, and batch norms the statistics of noise, so that values keep their size on the way.

    Args:
        network: changed.
        seed: of weights and noise.
        size: (W, H) of the noise.
        channels: of each image.
        images: how many the network takes.
        beside: numbers that it takes after them; 0 for none.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            fan_in = module.weight[0].numel() if not isinstance(module, nn.ConvTranspose2d) else module.weight.shape[0]
            module.weight.data.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
            if module.bias is not None:
                module.bias.data.copy_(0.1 * torch.randn(module.bias.shape, generator=generator))
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.weight.data.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
            module.bias.data.copy_(0.2 * torch.randn(module.bias.shape, generator=generator))
            module.momentum = None  # the plain mean of what is seen
        if isinstance(module, (nn.LSTM, nn.MultiheadAttention)):
            for parameter in module.parameters(recurse=False):
                parameter.data.copy_(torch.randn(parameter.shape, generator=generator) / parameter.shape[-1] ** 0.5)
    network.train()
    with torch.no_grad():
        for _ in range(3):
            given = []
            for _ in range(images):
                coarse = torch.rand((2, channels, size[1] // 8, size[0] // 8), generator=generator)
                noise = torch.rand((2, channels, size[1], size[0]), generator=generator)
                given.append(nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear") * 0.8 + 0.2 * noise)
            network(*given, *([torch.rand((2, beside), generator=generator)] if beside else []))
    return network.eval()


class SmallClassifier(nn.Module):
    """Inverted residuals with depthwise convolutions, as MobileNetV2 (Sandler et al. 2018) has them; logits (N, 10)."""

    def __init__(self, classes: int = 10, softmax: bool = False) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 8, stride=2)
        self.grow = nn.Sequential(ConvNorm(8, 32, 1), ConvNorm(32, 32, 3, 2, groups=32), ConvNorm(32, 16, 1, act=False))
        self.stay = nn.Sequential(ConvNorm(16, 64, 1), ConvNorm(64, 64, 3, groups=64), ConvNorm(64, 16, 1, act=False))
        self.head = nn.Linear(16, classes)
        self.softmax = softmax
        settled(self, 1)
        self.head.weight.data *= 4

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.grow(self.stem(image))
        logits = self.head((x + self.stay(x)).mean((2, 3)))
        return logits.softmax(1) if self.softmax else logits


class SmallUNet(nn.Module):
    """Two steps down and two up by transposed convolutions, with skips (Ronneberger et al. 2015); (N, C, H, W)."""

    def __init__(self, classes: int = 5, sigmoid: bool = False) -> None:
        super().__init__()
        self.down0, self.down1, self.down2 = ConvNorm(3, 8), ConvNorm(8, 16, stride=2), ConvNorm(16, 32, stride=2)
        self.up1 = nn.Sequential(nn.ConvTranspose2d(32, 16, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.join1 = ConvNorm(32, 16)
        self.up0 = nn.Sequential(nn.ConvTranspose2d(16, 8, 2, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.join0 = ConvNorm(16, 8)
        self.head = nn.Conv2d(8, classes, 1)
        self.sigmoid = sigmoid
        settled(self, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x0 = self.down0(image)
        x1 = self.down1(x0)
        x = self.join1(torch.cat([self.up1(self.down2(x1)), x1], 1))
        x = self.head(self.join0(torch.cat([self.up0(x), x0], 1)))
        return x.sigmoid() if self.sigmoid else x


class Backbone(nn.Module):
    """Features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, stride=2), ConvNorm(8, 16, stride=2))
        self.stages = nn.ModuleList(
            [ConvNorm(16, 24, stride=2), ConvNorm(24, 24, stride=2), ConvNorm(24, 24, stride=2)]
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        x, found = self.stem(image), []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


STRIDES = (8, 16, 32)


class ChannelsFirstDetector(nn.Module):
    """Anchor-free: distances to the edges as distributions (Li et al. 2020, arXiv 2006.04388); (N, 4 + C, A)."""

    BINS = 8

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.backbone, self.classes = Backbone(), classes
        self.box = nn.ModuleList([nn.Conv2d(24, 4 * self.BINS, 1) for _ in STRIDES])
        self.score = nn.ModuleList([nn.Conv2d(24, classes, 1) for _ in STRIDES])
        settled(self, 3)
        for head in self.score:
            head.weight.data *= 0.6
            head.bias.data -= 2.5

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows = []
        for features, box, score, stride in zip(self.backbone(image), self.box, self.score, STRIDES, strict=True):
            n, _, h, w = features.shape
            bins = torch.arange(self.BINS, dtype=torch.float32).reshape(1, self.BINS, 1, 1)
            far = (box(features).reshape(n, 4, self.BINS, h * w).softmax(2) * bins.reshape(1, 1, -1, 1)).sum(2)
            y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
            cells = torch.stack([x.reshape(-1), y.reshape(-1)])[None]
            near, end = cells - far[:, :2], cells + far[:, 2:]
            centre, size = (near + end) / 2 * stride, (end - near) * stride
            rows.append(torch.cat([centre, size, score(features).reshape(n, self.classes, h * w).sigmoid()], 1))
        return torch.cat(rows, 2)


ANCHORS = torch.tensor(
    [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]
).float()


class AnchoredDetector(nn.Module):
    """Three anchors for each cell (Redmon and Farhadi 2018); three maps (N, 3·(5 + C), h, w), or one list."""

    def __init__(self, classes: int = 4, one_list: bool = False) -> None:
        super().__init__()
        self.backbone, self.classes, self.one_list = Backbone(), classes, one_list
        self.heads = nn.ModuleList([nn.Conv2d(24, 3 * (5 + classes), 1) for _ in STRIDES])
        settled(self, 4)
        for head in self.heads:
            head.weight.data *= 0.7
            head.bias.data -= 1.5

    def forward(self, image: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        maps = tuple(head(features) for features, head in zip(self.backbone(image), self.heads, strict=True))
        if not self.one_list:
            return maps
        rows = []
        for values, anchors, stride in zip(maps, ANCHORS, STRIDES, strict=True):
            n, _, h, w = values.shape
            s = values.reshape(n, 3, 5 + self.classes, h, w).permute(0, 1, 3, 4, 2).sigmoid()
            y, x = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
            centre = (2 * s[..., :2] - 0.5 + torch.stack([x, y], -1)) * stride
            size = (2 * s[..., 2:4]) ** 2 * anchors[None, :, None, None]
            rows.append(torch.cat([centre, size, s[..., 4:]], -1).reshape(n, -1, 5 + self.classes))
        return torch.cat(rows, 1)


class AnchoredListDetector(AnchoredDetector):
    def __init__(self) -> None:
        super().__init__(one_list=True)


class ForegroundNet(SmallUNet):
    """One channel, a probability."""

    def __init__(self) -> None:
        super().__init__(classes=1, sigmoid=True)


class ProbableClassifier(SmallClassifier):
    """With the softmax inside."""

    def __init__(self) -> None:
        super().__init__(softmax=True)


def outputs_of(network: nn.Module) -> int:
    """How many outputs a network has."""
    return 3 if isinstance(network, AnchoredDetector) and not network.one_list else 1
