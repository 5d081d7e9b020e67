"""Networks that give a value for each pixel, in small: masks, depth, text, heat maps, larger images."""

from __future__ import annotations

import torch
from task_networks import settled
from torch import nn
from torch.nn import functional
from zoo_classifiers import Residual, SqueezeExcite, conv_norm, inverted


def double(given: int, made: int) -> nn.Module:
    return nn.Sequential(conv_norm(given, made, act=nn.ReLU()), conv_norm(made, made, act=nn.ReLU()))


class UNet(nn.Module):
    """Ronneberger et al. 2015: max pools, deconvolutions with batch norms, skips."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.down = nn.ModuleList([double(3, 8), double(8, 16), double(16, 32)])
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(2 * c, c, kernel, 2, pad, bias=False), nn.BatchNorm2d(c), nn.ReLU())
            for c, kernel, pad in ((16, 2, 0), (8, 4, 1))
        )
        self.join = nn.ModuleList([double(32, 16), double(16, 8)])
        self.head = nn.Conv2d(8, classes, 1)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x, skips = image, []
        for index, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if index else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


class OddUNet(UNet):
    """The same for any size: what comes up is padded to the skip, as the usual implementation has it."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x, skips = image, []
        for index, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if index else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1], strict=True):
            x = up(x)
            dy, dx = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            x = functional.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
            x = join(torch.cat([skip, x], 1))
        return self.head(x)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling with an image-wide branch (Chen et al. 2017)."""

    def __init__(self, given: int, made: int, rates: tuple[int, ...] = (2, 4, 6)) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm(given, made, 1, act=nn.ReLU())])
        for rate in rates:
            conv = nn.Conv2d(given, made, 3, padding=rate, dilation=rate, bias=False)
            self.branches.append(nn.Sequential(conv, nn.BatchNorm2d(made), nn.ReLU()))
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(given, made, 1), nn.ReLU())
        self.project = conv_norm(made * (len(rates) + 2), made, 1, act=nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = functional.interpolate(self.whole(x), x.shape[2:], mode="bilinear", align_corners=False)
        return self.project(torch.cat([*(branch(x) for branch in self.branches), whole], 1))


class DeepLab(nn.Module):
    """Chen et al. 2018: dilated convolutions at stride 8, a skip at stride 4, linear resizing."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.low = nn.Sequential(conv_norm(3, 16, stride=2, act=nn.ReLU6()), inverted(16, 12, grow=4, stride=2))
        self.high = nn.Sequential(
            inverted(12, 24, grow=4, stride=2),
            Residual(
                nn.Sequential(nn.Conv2d(24, 24, 3, padding=2, dilation=2, groups=24, bias=False), nn.BatchNorm2d(24))
            ),
        )
        self.aspp, self.skip = ASPP(24, 16), conv_norm(12, 8, 1, act=nn.ReLU())
        self.head = nn.Sequential(conv_norm(24, 16, act=nn.ReLU()), nn.Conv2d(16, classes, 1))
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        low = self.low(image)
        high = functional.interpolate(self.aspp(self.high(low)), low.shape[2:], mode="bilinear", align_corners=False)
        logits = self.head(torch.cat([high, self.skip(low)], 1))
        return {"out": functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)}


class PSPNet(nn.Module):
    """Zhao et al. 2017: pooled to grids of 1, 2, 3 and 6, each resized with corners aligned; log-softmax."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.ReLU()), conv_norm(16, 24, stride=2, act=nn.ReLU())
        )
        self.branches = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(n), conv_norm(24, 6, 1, act=nn.ReLU())) for n in (1, 2, 3, 6)
        )
        self.head = nn.Sequential(conv_norm(48, 24, act=nn.ReLU()), nn.Conv2d(24, classes, 1))
        settled(self, 0, (96, 96))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.features(image)
        parts = [functional.interpolate(b(x), x.shape[2:], mode="bilinear", align_corners=True) for b in self.branches]
        x = functional.interpolate(
            self.head(torch.cat([x, *parts], 1)), scale_factor=4, mode="bilinear", align_corners=True
        )
        return functional.log_softmax(x, dim=1)


class Reflected(nn.Module):
    """A convolution behind reflection padding, and ELU."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.pad, self.conv, self.act = nn.ReflectionPad2d(1), nn.Conv2d(given, made, 3), nn.ELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(self.pad(x)))


class DepthNet(nn.Module):
    """Godard et al. 2019: an encoder, nearest upsampling with skips, ELU, disparities at four scales by a sigmoid.

    The image is normalised inside, as the published encoder does it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([conv_norm(3, 8, 7, 2, act=nn.ReLU()), conv_norm(8, 16, stride=2, act=nn.ReLU()),
                                      conv_norm(16, 24, stride=2, act=nn.ReLU())])  # fmt: skip
        self.first = nn.ModuleList([Reflected(24, 16), Reflected(16, 8), Reflected(8, 8)])
        self.second = nn.ModuleList([Reflected(32, 16), Reflected(16, 8), Reflected(8, 8)])
        self.heads = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c, 1, 3), nn.Sigmoid()) for c in (16, 8, 8)
        )
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, skips = (image - 0.45) / 0.225, []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        found = []
        for first, second, head, skip in zip(
            self.first, self.second, self.heads, [skips[1], skips[0], None], strict=True
        ):
            x = functional.interpolate(first(x), scale_factor=2, mode="nearest")
            x = second(x if skip is None else torch.cat([x, skip], 1))
            found.append(head(x))
        return tuple(found[::-1])


class FastDepth(nn.Module):
    """Wofk et al. 2019: depthwise layers, nearest upsampling, added skips; metres, one channel."""

    def __init__(self) -> None:
        super().__init__()

        def separable(given: int, made: int, kernel: int, stride: int = 1) -> nn.Module:
            return nn.Sequential(
                conv_norm(given, given, kernel, stride, given, nn.ReLU()), conv_norm(given, made, 1, act=nn.ReLU())
            )

        self.down = nn.ModuleList(
            [conv_norm(3, 8, stride=2, act=nn.ReLU()), separable(8, 16, 3, 2), separable(16, 24, 3, 2)]
        )
        self.up = nn.ModuleList([separable(24, 16, 5), separable(16, 8, 5), separable(8, 8, 5)])
        self.head = conv_norm(8, 1, 1, act=nn.ReLU())
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        skips = [image]
        for stage in self.down:
            skips.append(stage(skips[-1]))
        x = skips[-1]
        for up, skip in zip(self.up, (skips[2], skips[1], None), strict=True):
            x = functional.interpolate(up(x), scale_factor=2, mode="nearest")
            x = x if skip is None else x + skip
        return self.head(x)


class TextDetector(nn.Module):
    """PP-OCR's kind (Liao et al. 2020; Du et al. 2022): levels summed and joined, two deconvolutions, a sigmoid."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        stem = conv_norm(3, 8, stride=2, act=nn.Hardswish())
        self.stages = nn.ModuleList([
            nn.Sequential(stem, inverted(8, 12, grow=3, stride=2, act=nn.ReLU)),
            inverted(12, 16, grow=3, kernel=5, stride=2, act=nn.Hardswish, gate=nn.Hardsigmoid),
            inverted(16, 24, grow=3, kernel=5, stride=2, act=nn.Hardswish),
        ])  # fmt: skip
        self.inner = nn.ModuleList([nn.Conv2d(c, width, 1, bias=False) for c in (12, 16, 24)])
        self.outer = nn.ModuleList([nn.Conv2d(width, 8, 3, padding=1, bias=False) for _ in range(3)])
        self.weigh = SqueezeExcite(24, nn.Hardsigmoid)
        self.head = nn.Sequential(
            conv_norm(24, 8, act=nn.ReLU()),
            nn.ConvTranspose2d(8, 8, 2, 2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 1, 2, 2),
            nn.Sigmoid(),
        )
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x, levels = image, []
        for stage, inner in zip(self.stages, self.inner, strict=True):
            x = stage(x)
            levels.append(inner(x))
        for index in (1, 0):
            levels[index] = levels[index] + functional.interpolate(levels[index + 1], scale_factor=2, mode="nearest")
        parts = [
            functional.interpolate(outer(level), scale_factor=2**index, mode="nearest")
            for index, (outer, level) in enumerate(zip(self.outer, levels, strict=True))
        ]
        return self.head(self.weigh(torch.cat(parts[::-1], 1)))


class SuperResolution(nn.Module):
    """Shi et al. 2016: all layers at the small size, then channels become pixels; grey, three times as large."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 12, 3, padding=1), nn.Tanh())
        self.last, self.shuffle = nn.Conv2d(12, 9, 3, padding=1), nn.PixelShuffle(3)
        settled(self, 0, channels=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.shuffle(self.last(self.body(image)))


class ResidualSuperResolution(nn.Module):
    """EDSR's kind (Lim et al. 2017) with a global skip; colour, twice as large, cut to [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.Sequential(*[
            Residual(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(16, 16, 3, padding=1)))
            for _ in range(2)
        ])  # fmt: skip
        self.last = nn.Sequential(nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))
        settled(self, 0)
        self.last[0].weight.data *= 0.05

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        detail = self.last(self.blocks(self.first(image)))
        return torch.clamp(
            functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False) + detail, 0, 1
        )


class PoseHeatmaps(nn.Module):
    """Xiao et al. 2018: a backbone and deconvolutions; a heat map for each of 17 joints, at a quarter of the size."""

    def __init__(self, joints: int = 17) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.ReLU()),
            nn.MaxPool2d(3, 2, 1),
            conv_norm(16, 24, stride=2, act=nn.ReLU()),
            conv_norm(24, 32, stride=2, act=nn.ReLU()),
        )
        self.up = nn.Sequential(*[
            layer for given in (32, 16)
            for layer in (nn.ConvTranspose2d(given, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        ])  # fmt: skip
        self.head = nn.Conv2d(16, joints, 1)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.up(self.backbone(image)))


class PoseCoordinates(PoseHeatmaps):
    """The same with the soft-argmax inside (Sun et al. 2018): (N, 17, 2) in [0, 1]."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = super().forward(image)
        n, c, h, w = maps.shape
        maps = maps.reshape(n, c, -1).softmax(-1).reshape(n, c, h, w)
        x = (maps.sum(2) * torch.linspace(0, 1, w)).sum(-1)
        y = (maps.sum(3) * torch.linspace(0, 1, h)).sum(-1)
        return torch.stack([x, y], -1)


class HighResolution(nn.Module):
    """HRNet's kind (Sun et al. 2019): two resolutions side by side that exchange what they have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 16, stride=2, act=nn.ReLU()), conv_norm(16, 16, stride=2, act=nn.ReLU()))
        self.coarse = conv_norm(16, 24, stride=2, act=nn.ReLU())
        self.fine1, self.coarse1 = conv_norm(16, 16, act=nn.ReLU()), conv_norm(24, 24, act=nn.ReLU())
        self.up, self.down = conv_norm(24, 16, 1), conv_norm(16, 24, stride=2)
        self.head = nn.Conv2d(40, 5, 1)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        fine = self.stem(image)
        coarse = self.coarse1(self.coarse(fine))
        fine = self.fine1(fine)
        up = functional.interpolate(self.up(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=True)
        fine, coarse = functional.relu(fine + up), functional.relu(coarse + self.down(fine))
        both = [fine, functional.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=True)]
        return self.head(torch.cat(both, 1))


class StyleTransfer(nn.Module):
    """Johnson et al. 2016 in its published form: instance norms, reflection padding, nearest upsampling; 0–255 out."""

    def __init__(self) -> None:
        super().__init__()

        def layer(given: int, made: int, kernel: int, stride: int = 1) -> nn.Module:
            return nn.Sequential(
                nn.ReflectionPad2d(kernel // 2),
                nn.Conv2d(given, made, kernel, stride),
                nn.InstanceNorm2d(made, affine=True),
            )

        self.down = nn.Sequential(layer(3, 8, 9), nn.ReLU(), layer(8, 16, 3, 2), nn.ReLU())
        self.body = Residual(nn.Sequential(layer(16, 16, 3), nn.ReLU(), layer(16, 16, 3)))
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), layer(16, 8, 3), nn.ReLU())
        self.last = nn.Sequential(nn.ReflectionPad2d(4), nn.Conv2d(8, 3, 9))
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(self.up(self.body(self.down(image)))) * 30 + 127


class SaliencyNet(nn.Module):
    """U²-Net's kind (Qin et al. 2020): max pools that round up, dilations, resizing to what came before, sigmoids."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.one, self.two = (conv_norm(a, 12, act=nn.ReLU()) for a in (3, 12, 12))
        self.wide = nn.Sequential(nn.Conv2d(12, 12, 3, padding=2, dilation=2), nn.BatchNorm2d(12), nn.ReLU())
        self.back2, self.back1 = conv_norm(24, 12, act=nn.ReLU()), conv_norm(24, 12, act=nn.ReLU())
        self.side1, self.side2 = nn.Conv2d(12, 1, 3, padding=1), nn.Conv2d(12, 1, 3, padding=1)
        self.out, self.pool = nn.Conv2d(2, 1, 1), nn.MaxPool2d(2, stride=2, ceil_mode=True)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.inside(image)
        one = self.one(x)
        two = self.two(self.pool(one))
        back = self.back2(torch.cat([self.wide(two), two], 1))
        fine = self.back1(torch.cat([functional.interpolate(back, one.shape[2:], mode="bilinear"), one], 1)) + x
        sides = [self.side1(fine), functional.interpolate(self.side2(back), image.shape[2:], mode="bilinear")]
        return tuple(torch.sigmoid(side) for side in (self.out(torch.cat(sides, 1)), *sides))
