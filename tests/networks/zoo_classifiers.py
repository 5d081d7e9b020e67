"""Classifiers in small, each of a published kind, written from its paper; all take (N, 3, H, W) and give logits."""

from __future__ import annotations

import torch
from task_networks import settled
from torch import nn
from torch.nn import functional

CLASSES = 10


def conv_norm(given: int, made: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: nn.Module | None = None):
    layers: list[nn.Module] = [
        nn.Conv2d(given, made, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(made),
    ]
    return nn.Sequential(*layers, *([act] if act is not None else []))


class Residual(nn.Module):
    """What a body makes, added to what it was given."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, after: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut
        self.after = nn.Identity() if after is None else after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.shortcut(x) + self.body(x))


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole image has of them (Hu et al. 2018)."""

    def __init__(self, channels: int, gate: type[nn.Module] = nn.Sigmoid) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down, self.up, self.gate = (
            nn.Conv2d(channels, channels // 4, 1),
            nn.Conv2d(channels // 4, channels, 1),
            gate(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(self.up(functional.relu(self.down(self.pool(x)))))


def inverted(
    given: int,
    made: int,
    *,
    grow: int,
    kernel: int = 3,
    stride: int = 1,
    act: type[nn.Module] = nn.ReLU6,
    gate: type[nn.Module] | None = None,
) -> nn.Module:
    """Inverted residual with a linear bottleneck (Sandler et al. 2018)."""
    wide = given * grow
    layers = [conv_norm(given, wide, 1, act=act()), conv_norm(wide, wide, kernel, stride, groups=wide, act=act())]
    if gate is not None:
        layers.append(SqueezeExcite(wide, gate))
    body = nn.Sequential(*layers, conv_norm(wide, made, 1))
    return Residual(body) if stride == 1 and given == made else body


class Classifier(nn.Module):
    """Features, their mean, logits."""

    seed = 0

    def __init__(self) -> None:
        super().__init__()
        self.features, channels = self.made()
        self.head = nn.Linear(channels, CLASSES)
        settled(self, self.seed)

    def made(self) -> tuple[nn.Module, int]:
        raise NotImplementedError

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(self.features(image), 1), 1))


class MobileNetV2(Classifier):
    """Sandler et al. 2018."""

    def made(self) -> tuple[nn.Module, int]:
        return nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.ReLU6()),
            inverted(16, 8, grow=1),
            inverted(8, 12, grow=6, stride=2),
            inverted(12, 12, grow=6),
            inverted(12, 16, grow=6, stride=2),
            inverted(16, 16, grow=6),
            conv_norm(16, 64, 1, act=nn.ReLU6()),
        ), 64


class MobileNetV3(nn.Module):
    """Howard et al. 2019: hard swish, and squeeze and excitation with a hard sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        swish, gate = nn.Hardswish, nn.Hardsigmoid
        self.features = nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.Hardswish()),
            inverted(16, 16, grow=1, act=nn.ReLU, gate=gate),
            inverted(16, 24, grow=4, stride=2, act=nn.ReLU),
            inverted(24, 24, grow=4, kernel=5, stride=2, act=swish, gate=gate),
            inverted(24, 24, grow=3, kernel=5, act=swish, gate=gate),
            conv_norm(24, 96, 1, act=nn.Hardswish()),
        )
        self.head = nn.Sequential(nn.Linear(96, 64), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(64, CLASSES))
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(functional.adaptive_avg_pool2d(self.features(image), 1).flatten(1))


def basic(given: int, made: int, stride: int = 1) -> nn.Module:
    body = nn.Sequential(conv_norm(given, made, 3, stride, act=nn.ReLU()), conv_norm(made, made))
    return Residual(body, None if stride == 1 else conv_norm(given, made, 1, stride), nn.ReLU())


def bottleneck(given: int, made: int, stride: int = 1) -> nn.Module:
    narrow = made // 4
    body = nn.Sequential(
        conv_norm(given, narrow, 1, act=nn.ReLU()),
        conv_norm(narrow, narrow, 3, stride, act=nn.ReLU()),
        conv_norm(narrow, made, 1),
    )
    return Residual(body, None if given == made else conv_norm(given, made, 1, stride), nn.ReLU())


class ResNet(Classifier):
    """He et al. 2016: a 7×7 stem, a max pool, basic blocks and bottlenecks."""

    def made(self) -> tuple[nn.Module, int]:
        return nn.Sequential(
            conv_norm(3, 16, 7, 2, act=nn.ReLU()),
            nn.MaxPool2d(3, 2, 1),
            basic(16, 16),
            basic(16, 32, 2),
            bottleneck(32, 64, 2),
            bottleneck(64, 64),
        ), 64


class EfficientNetLite(Classifier):
    """Tan and Le 2019 without squeeze and excitation; kernels of 3 and 5."""

    def made(self) -> tuple[nn.Module, int]:
        return nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.ReLU6()),
            inverted(16, 8, grow=1),
            inverted(8, 12, grow=6, stride=2),
            inverted(12, 20, grow=6, kernel=5, stride=2),
            inverted(20, 20, grow=6, kernel=5),
            inverted(20, 40, grow=6, stride=2),
            conv_norm(40, 80, 1, act=nn.ReLU6()),
        ), 80


class EfficientNet(Classifier):
    """Tan and Le 2019: SiLU, squeeze and excitation with a sigmoid."""

    def made(self) -> tuple[nn.Module, int]:
        return nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.SiLU()),
            inverted(16, 12, grow=4, stride=2, act=nn.SiLU, gate=nn.Sigmoid),
            inverted(12, 12, grow=4, kernel=5, act=nn.SiLU, gate=nn.Sigmoid),
            conv_norm(12, 64, 1, act=nn.SiLU()),
        ), 64


def shuffled(x: torch.Tensor, groups: int = 2) -> torch.Tensor:
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    """Ma et al. 2018, figure 3 (c) and (d)."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.stride, half = stride, made // 2
        self.right = nn.Sequential(
            conv_norm(given if stride > 1 else half, half, 1, act=nn.ReLU()),
            conv_norm(half, half, 3, stride, groups=half),
            conv_norm(half, half, 1, act=nn.ReLU()),
        )
        self.left = nn.Sequential(
            conv_norm(given, given, 3, stride, groups=given), conv_norm(given, half, 1, act=nn.ReLU())
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stride > 1:
            return shuffled(torch.cat((self.left(x), self.right(x)), 1))
        kept, changed = x.chunk(2, 1)
        return shuffled(torch.cat((kept, self.right(changed)), 1))


class ShuffleNetV2(Classifier):
    """Ma et al. 2018."""

    def made(self) -> tuple[nn.Module, int]:
        return nn.Sequential(
            conv_norm(3, 12, stride=2, act=nn.ReLU()),
            nn.MaxPool2d(3, 2, 1),
            ShuffleUnit(12, 24, 2),
            ShuffleUnit(24, 24, 1),
            ShuffleUnit(24, 48, 2),
            ShuffleUnit(48, 48, 1),
            conv_norm(48, 64, 1, act=nn.ReLU()),
        ), 64


class ChannelsLastNorm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022, figure 4, with its scale for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.spatial(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(functional.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(Classifier):
    """Liu et al. 2022."""

    def made(self) -> tuple[nn.Module, int]:
        return nn.Sequential(
            nn.Conv2d(3, 16, 4, 4),
            ChannelsLastNorm(16, eps=1e-6),
            ConvNeXtBlock(16),
            ChannelsLastNorm(16, eps=1e-6),
            nn.Conv2d(16, 32, 2, 2),
            ConvNeXtBlock(32),
        ), 32


class GhostModule(nn.Module):
    """Half of the channels by a convolution, the rest from them by a cheap one (Han et al. 2020)."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.first = conv_norm(given, made // 2, 1, act=nn.ReLU())
        self.cheap = conv_norm(made // 2, made // 2, 3, groups=made // 2, act=nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        return torch.cat([first, self.cheap(first)], 1)


class GhostNet(Classifier):
    """Han et al. 2020."""

    def made(self) -> tuple[nn.Module, int]:
        unit = nn.Sequential(GhostModule(16, 32), SqueezeExcite(32, nn.Hardsigmoid), GhostModule(32, 16))
        return nn.Sequential(conv_norm(3, 16, stride=2, act=nn.ReLU()), Residual(unit), conv_norm(16, 48, 3, 2)), 48


class Dense(nn.Module):
    """Each layer sees all before it (Huang et al. 2017)."""

    def __init__(self, given: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(given + i * growth),
                nn.ReLU(),
                nn.Conv2d(given + i * growth, growth, 3, padding=1, bias=False),
            )
            for i in range(layers)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class DenseNet(Classifier):
    """Huang et al. 2017: norms before convolutions, average pools between."""

    def made(self) -> tuple[nn.Module, int]:
        between = nn.Sequential(nn.BatchNorm2d(28), nn.ReLU(), nn.Conv2d(28, 16, 1, bias=False), nn.AvgPool2d(2))
        return nn.Sequential(
            conv_norm(3, 16, 7, 2, act=nn.ReLU()),
            nn.MaxPool2d(3, 2, 1),
            Dense(16, 4, 3),
            between,
            Dense(16, 8, 2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        ), 32


class SqueezeNet(nn.Module):
    """Iandola et al. 2016: fire modules, max pools that round up, a convolution for the classes, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.squeeze, self.one, self.three = nn.Conv2d(16, 8, 1), nn.Conv2d(8, 16, 1), nn.Conv2d(8, 16, 3, padding=1)
        self.head = nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(32, CLASSES, 1), nn.ReLU())
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.squeeze(self.stem(image)))
        x = functional.relu(torch.cat([self.one(x), self.three(x)], 1))
        return functional.adaptive_avg_pool2d(self.head(x), 1).flatten(1).softmax(1)


class FaceEmbedding(nn.Module):
    """MobileFaceNet's kind (Chen et al. 2018): PReLU, a depthwise convolution over all that is left, unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.PReLU(16)),
            conv_norm(16, 16, groups=16, act=nn.PReLU(16)),
            conv_norm(16, 32, stride=2, act=nn.PReLU(32)),
            conv_norm(32, 32, stride=2, act=nn.PReLU(32)),
            nn.Conv2d(32, 32, (8, 8), groups=32, bias=False),
            nn.BatchNorm2d(32),
        )
        self.embed = nn.Linear(32, 64, bias=False)
        self.norm = nn.BatchNorm1d(64)
        settled(self, 0, (64, 64))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.norm(self.embed(self.features(image).flatten(1))), dim=1)


class SpatialTransformer(nn.Module):
    """A classifier that straightens its features first (Jaderberg et al. 2015), which the device cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(conv_norm(3, 16, stride=4, act=nn.ReLU()), conv_norm(16, 16, act=nn.ReLU()))
        self.affine, self.head = nn.Linear(16, 6), nn.Linear(16, CLASSES)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.features(image)
        rows, columns = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 24), indexing="ij")
        places = torch.stack([columns, rows, torch.ones_like(rows)], -1).reshape(1, -1, 3)
        grid = (places @ self.affine(x.mean((2, 3))).reshape(-1, 3, 2)).reshape(-1, 16, 24, 2)
        return self.head(functional.grid_sample(x, grid, align_corners=True).mean((2, 3)))
