"""Detectors and networks with other inputs than one image, in small."""

from __future__ import annotations

import torch
from task_networks import ANCHORS, STRIDES, ConvNorm, settled
from torch import nn
from torch.nn import functional
from zoo_classifiers import conv_norm

CLASSES = 4


class Pooling(nn.Module):
    """One max pool three times over, all joined: SPPF, the faster form of spatial pyramid pooling (He et al. 2015)."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.first, self.last, self.pool = (
            ConvNorm(given, given // 2, 1),
            ConvNorm(2 * given, made, 1),
            nn.MaxPool2d(5, 1, 2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [self.first(x)]
        for _ in range(3):
            found.append(self.pool(found[-1]))
        return self.last(torch.cat(found, 1))


class Bottleneck(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = ConvNorm(width, width), ConvNorm(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.two(self.one(x))


class Split(nn.Module):
    """A cross-stage part of which every bottleneck's result is kept (C2f)."""

    def __init__(self, given: int, made: int, repeats: int = 1) -> None:
        super().__init__()
        half = made // 2
        self.first, self.last = ConvNorm(given, made, 1), ConvNorm((2 + repeats) * half, made, 1)
        self.parts = nn.ModuleList(Bottleneck(half) for _ in range(repeats))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = list(self.first(x).chunk(2, 1))
        for part in self.parts:
            found.append(part(found[-1]))
        return self.last(torch.cat(found, 1))


class CrossStage(nn.Module):
    """A cross-stage part with one way around (C3; Wang et al. 2020)."""

    def __init__(self, given: int, made: int, repeats: int = 1) -> None:
        super().__init__()
        half = made // 2
        self.through, self.around, self.last = (
            ConvNorm(given, half, 1),
            ConvNorm(given, half, 1),
            ConvNorm(made, made, 1),
        )
        self.parts = nn.Sequential(*(Bottleneck(half) for _ in range(repeats)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([self.parts(self.through(x)), self.around(x)], 1))


class PathAggregation(nn.Module):
    """A backbone, and its levels joined downwards and upwards (Liu et al. 2018); features at strides 8, 16 and 32."""

    def __init__(self, part: type[Split] | type[CrossStage], stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.down = nn.ModuleList(
            nn.Sequential(ConvNorm(a, b, stride=2), part(b, b)) for a, b in ((8, 16), (16, 24), (24, 32), (32, 32))
        )
        self.pool = Pooling(32, 32)
        self.out4, self.out3 = part(64, 32), part(56, 24)
        self.step3, self.step4 = ConvNorm(24, 24, stride=2), ConvNorm(32, 32, stride=2)
        self.in4, self.in5 = part(56, 32), part(64, 32)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        p3 = self.down[1](self.down[0](self.stem(image)))
        p4 = self.down[2](p3)
        p5 = self.pool(self.down[3](p4))
        f4 = self.out4(torch.cat([self.up(p5), p4], 1))
        f3 = self.out3(torch.cat([self.up(f4), p3], 1))
        f4 = self.in4(torch.cat([self.step3(f3), f4], 1))
        return [f3, f4, self.in5(torch.cat([self.step4(f4), p5], 1))]


class YoloV8(nn.Module):
    """Distances to the edges as distributions (Li et al. 2020), decoded inside; (N, 4 + C, A)."""

    BINS = 16

    def __init__(self) -> None:
        super().__init__()
        self.backbone = PathAggregation(Split, ConvNorm(3, 8, stride=2))
        self.box = nn.ModuleList(nn.Sequential(ConvNorm(c, 16), nn.Conv2d(16, 4 * self.BINS, 1)) for c in (24, 32, 32))
        self.score = nn.ModuleList(nn.Sequential(ConvNorm(c, 16), nn.Conv2d(16, CLASSES, 1)) for c in (24, 32, 32))
        self.expect = nn.Conv2d(self.BINS, 1, 1, bias=False)
        settled(self, 0)
        self.expect.weight.data = torch.arange(self.BINS).float().reshape(1, -1, 1, 1)
        for box, score in zip(self.box, self.score, strict=True):
            box[1].weight.data *= 0.05
            score[1].weight.data *= 0.05
            score[1].bias.data -= 3.0

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.backbone(image)
        n = image.shape[0]
        heads = zip(features, self.box, self.score, strict=True)
        maps = [torch.cat([box(x), score(x)], 1).view(n, 4 * self.BINS + CLASSES, -1) for x, box, score in heads]
        box, score = torch.cat(maps, 2).split((4 * self.BINS, CLASSES), 1)
        far = self.expect(box.view(n, 4, self.BINS, -1).transpose(2, 1).softmax(1)).view(n, 4, -1)
        centres, strides = [], []
        for x, stride in zip(features, STRIDES, strict=True):
            h, w = x.shape[2:]
            rows, columns = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
            centres.append(torch.stack([columns, rows], -1).reshape(-1, 2))
            strides.append(torch.full((h * w, 1), float(stride)))
        centre, stride = torch.cat(centres).T[None], torch.cat(strides).T
        near, end = far.chunk(2, 1)
        first, second = centre - near, centre + end
        return torch.cat([torch.cat([(first + second) / 2, second - first], 1) * stride, score.sigmoid()], 1)


class YoloV8Maps(YoloV8):
    """Before decoding: boxes and scores of each stride, as an export for other runtimes gives them; six outputs."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        heads = zip(self.backbone(image), self.box, self.score, strict=True)
        return tuple(tensor for x, box, score in heads for tensor in (box(x), score(x).sigmoid()))


class Focus(nn.Module):
    """Every second pixel to channels, four times (the first YOLOv5)."""

    def __init__(self, made: int) -> None:
        super().__init__()
        self.conv = ConvNorm(12, made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]]
        return self.conv(torch.cat(parts, 1))


class YoloV5(nn.Module):
    """Three anchors for each cell (Redmon and Farhadi 2018), decoded inside; (N, A, 5 + C)."""

    def __init__(self, focus: bool = False) -> None:
        super().__init__()
        stem = Focus(8) if focus else nn.Sequential(nn.Conv2d(3, 8, 6, 2, 2, bias=False), nn.BatchNorm2d(8), nn.SiLU())
        self.backbone = PathAggregation(CrossStage, stem)
        self.heads = nn.ModuleList(nn.Conv2d(c, 3 * (5 + CLASSES), 1) for c in (24, 32, 32))
        settled(self, 0)
        for head in self.heads:
            head.weight.data *= 0.08
            head.bias.data -= 1.5

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = []
        for x, head, anchors, stride in zip(self.backbone(image), self.heads, ANCHORS, STRIDES, strict=True):
            n, _, h, w = x.shape
            y = head(x).view(n, 3, 5 + CLASSES, h, w).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
            rows, columns = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
            grid = torch.stack((columns, rows), 2).expand(1, 3, h, w, 2) - 0.5
            centre, size, scores = y.split((2, 2, 1 + CLASSES), 4)
            centre, size = (centre * 2 + grid) * stride, (size * 2) ** 2 * anchors.view(1, 3, 1, 1, 2)
            found.append(torch.cat((centre, size, scores), 4).view(n, -1, 5 + CLASSES))
        return torch.cat(found, 1)


class YoloV5Focus(YoloV5):
    def __init__(self) -> None:
        super().__init__(focus=True)


class SSD(nn.Module):
    """Liu et al. 2016: offsets and class scores of several maps, each flattened and joined; L2 norm with a scale."""

    def __init__(self) -> None:
        super().__init__()
        first, second = conv_norm(3, 16, stride=2, act=nn.ReLU()), conv_norm(16, 24, stride=2, act=nn.ReLU())
        self.stages = nn.ModuleList(
            [nn.Sequential(first, nn.MaxPool2d(2), second), conv_norm(24, 32, stride=2, act=nn.ReLU())]
        )
        self.scale = nn.Parameter(torch.full((1, 24, 1, 1), 20.0))
        self.boxes = nn.ModuleList(nn.Conv2d(c, 4 * 4, 3, padding=1) for c in (24, 32))
        self.scores = nn.ModuleList(nn.Conv2d(c, 4 * 5, 3, padding=1) for c in (24, 32))
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, boxes, scores = image, [], []
        for index, (stage, box, score) in enumerate(zip(self.stages, self.boxes, self.scores, strict=True)):
            x = stage(x)
            y = functional.normalize(x, dim=1) * self.scale if index == 0 else x
            boxes.append(box(y).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4))
            scores.append(score(y).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 5))
        return torch.cat(boxes, 1), torch.cat(scores, 1).softmax(-1)


class CenterNet(nn.Module):
    """Zhou et al. 2019: a heat map of centres with its maxima kept by a max pool, sizes, offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(conv_norm(3, 16, stride=2, act=nn.ReLU()), conv_norm(16, 24, stride=2, act=nn.ReLU()),
                                  conv_norm(24, 32, stride=2, act=nn.ReLU()))  # fmt: skip
        self.up = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 4, 2, 1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.heat, self.size, self.offset = (nn.Conv2d(16, c, 1) for c in (3, 2, 2))
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.up(self.down(image))
        heat = self.heat(x).sigmoid()
        peaks = functional.max_pool2d(heat, 3, 1, 1)
        return {"heat": heat, "peaks": peaks, "size": self.size(x), "offset": self.offset(x)}


class WeightedPyramid(nn.Module):
    """EfficientDet's neck (Tan et al. 2020): levels added with learnt weights that sum to one."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(conv_norm(3, 16, stride=2, act=nn.SiLU()), conv_norm(16, 16, stride=2, act=nn.SiLU()))
        self.coarse = conv_norm(16, 16, stride=2, act=nn.SiLU())
        self.weights = nn.Parameter(torch.tensor([0.7, 1.6]))
        self.join, self.head = conv_norm(16, 16, act=nn.SiLU()), nn.Conv2d(16, 9, 3, padding=1)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fine = self.fine(image)
        coarse = self.coarse(fine)
        weights = functional.relu(self.weights)
        weights = weights / (weights.sum() + 1e-4)
        up = functional.interpolate(coarse, scale_factor=2, mode="nearest")
        fine = self.join(weights[0] * fine + weights[1] * up)
        return self.head(fine), self.head(functional.max_pool2d(fine, 3, 2, 1))


class Siamese(nn.Module):
    """One network on two images, their features compared (Bertinetto et al. 2016): a map of similarities."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.ReLU()), conv_norm(16, 24, stride=2, act=nn.ReLU())
        )
        self.head = nn.Conv2d(24, 2, 1)
        settled(self, 0, images=2)

    def forward(self, template: torch.Tensor, search: torch.Tensor) -> torch.Tensor:
        wanted = functional.adaptive_avg_pool2d(self.features(template), 1)
        return self.head(wanted * self.features(search))


class StereoCost(nn.Module):
    """Two views, a cost for each of a few shifts (Mayer et al. 2016), and the expected shift: a disparity."""

    SHIFTS = 6

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(conv_norm(1, 12, stride=2, act=nn.LeakyReLU(0.1)), conv_norm(12, 16, stride=2))
        self.head = nn.Sequential(
            conv_norm(self.SHIFTS, 12, act=nn.LeakyReLU(0.1)), nn.Conv2d(12, self.SHIFTS, 3, padding=1)
        )
        settled(self, 0, images=2, channels=1)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        a, b = self.features(left), self.features(right)
        width = b.shape[3]
        costs = [(a * functional.pad(b, (s, 0, 0, 0))[..., :width]).mean(1, keepdim=True) for s in range(self.SHIFTS)]
        weights = self.head(torch.cat(costs, 1)).softmax(1)
        return (weights * torch.arange(self.SHIFTS).float().view(1, -1, 1, 1)).sum(1, keepdim=True)


class WithPrior(nn.Module):
    """An image, and numbers that are none: a state of three values beside it (a policy, say)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.ELU()), conv_norm(16, 16, stride=2, act=nn.ELU())
        )
        self.join, self.head = nn.Linear(16 + 3, 16), nn.Linear(16, 2)
        settled(self, 0, beside=3)

    def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.features(image).mean((2, 3)), state], 1)
        return torch.tanh(self.head(functional.elu(self.join(x))))
