"""Networks with attention, in small."""

from __future__ import annotations

import torch
from task_networks import settled
from torch import nn
from torch.nn import functional
from zoo_classifiers import CLASSES, Classifier, conv_norm


class Attention(nn.Module):
    """Scaled dot products of several heads (Vaswani et al. 2017), over tokens (N, T, C)."""

    def __init__(self, width: int, heads: int, reduction: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.both = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.reduce = nn.Conv2d(width, width, reduction, reduction) if reduction > 1 else None
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, grid: tuple[int, int] | None = None) -> torch.Tensor:
        n, t, c = x.shape
        query = self.query(x).reshape(n, t, self.heads, c // self.heads).transpose(1, 2)
        if self.reduce is not None and grid is not None:
            x = self.reduce(x.transpose(1, 2).reshape(n, c, *grid)).flatten(2).transpose(1, 2)
        key, value = self.both(x).reshape(n, -1, 2, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(n, t, c))


class Fused(Attention):
    """The same by torch's own function."""

    def forward(self, x: torch.Tensor, grid: tuple[int, int] | None = None) -> torch.Tensor:
        del grid
        n, t, c = x.shape
        query = self.query(x).view(n, t, self.heads, -1).transpose(1, 2)
        key, value = (p.view(n, t, self.heads, -1).transpose(1, 2) for p in self.both(x).chunk(2, -1))
        return self.out(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, t, c))


class Block(nn.Module):
    """Norm, attention, norm, two linear layers (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int = 2, attention: type[Attention] = Attention, reduction: int = 1) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = attention(width, heads, reduction)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor, grid: tuple[int, int] | None = None) -> torch.Tensor:
        x = x + self.attention(self.norm1(x), grid)
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Dosovitskiy et al. 2021: patches of 16, a class token, positions of a fixed size."""

    attention: type[Attention] = Attention

    def __init__(self, width: int = 32, tokens: int = 24) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        generator = torch.Generator().manual_seed(5)
        self.token = nn.Parameter(torch.randn((1, 1, width), generator=generator))
        self.places = nn.Parameter(0.5 * torch.randn((1, tokens + 1, width), generator=generator))
        self.blocks = nn.ModuleList([Block(width, attention=self.attention) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, CLASSES)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class FusedViT(ViT):
    attention = Fused


class TorchEncoder(nn.Module):
    """Patches, and torch's own encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 16, 16)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True, activation="gelu")
        self.head = nn.Linear(32, CLASSES)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.patches(image).flatten(2).transpose(1, 2)).mean(1))


class MobileViT(Classifier):
    """Mehta and Rastegari 2022: patches of 2×2 unfolded, attention among equal places, folded back."""

    def made(self) -> tuple[nn.Module, int]:
        return nn.Sequential(conv_norm(3, 16, stride=2, act=nn.SiLU()), conv_norm(16, 32, stride=2, act=nn.SiLU()),
                             UnfoldedAttention(32), conv_norm(32, 32, 1, act=nn.SiLU())), 32  # fmt: skip


class UnfoldedAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = Block(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        y = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 2, 4, 1).reshape(n * 4, (h // 2) * (w // 2), c)
        y = self.block(y)
        return x + y.reshape(n, 2, 2, h // 2, w // 2, c).permute(0, 5, 3, 1, 4, 2).reshape(n, c, h, w)


class SegFormer(nn.Module):
    """Xie et al. 2021: attention over a reduced grid, levels brought to one size by linear resizing."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.embed1, self.embed2 = nn.Conv2d(3, 16, 7, 4, 3), nn.Conv2d(16, 32, 3, 2, 1)
        self.block1, self.block2 = Block(16, 1, reduction=4), Block(32, 2, reduction=2)
        self.to1, self.to2 = nn.Linear(16, 16), nn.Linear(32, 16)
        self.fuse, self.head = conv_norm(32, 16, 1, act=nn.ReLU()), nn.Conv2d(16, classes, 1)
        settled(self, 0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = []
        x = image
        for embed, block, to in ((self.embed1, self.block1, self.to1), (self.embed2, self.block2, self.to2)):
            x = embed(x)
            grid = (x.shape[2], x.shape[3])
            tokens = block(x.flatten(2).transpose(1, 2), grid)
            x = tokens.transpose(1, 2).reshape(-1, tokens.shape[2], *grid)
            levels.append(to(tokens).transpose(1, 2).reshape(-1, 16, *grid))
        size = levels[0].shape[2:]
        levels = [functional.interpolate(level, size, mode="bilinear", align_corners=False) for level in levels]
        logits = self.head(self.fuse(torch.cat(levels[::-1], 1)))
        return functional.interpolate(logits, image.shape[2:], mode="bilinear", align_corners=False)


class TextRecogniser(nn.Module):
    """PP-OCR's kind (Du et al. 2022): a strip 48 high, attention along the text, softmax for each place."""

    def __init__(self, letters: int = 40) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(3, 16, stride=2, act=nn.Hardswish()),
            conv_norm(16, 16, groups=16, act=nn.Hardswish()),
            nn.Conv2d(16, 32, 3, (2, 1), 1),
            nn.BatchNorm2d(32),
            nn.Hardswish(),
            nn.Conv2d(32, 32, 3, (2, 2), 1),
            nn.AvgPool2d((6, 1)),
        )
        self.block, self.norm, self.head = Block(32), nn.LayerNorm(32, eps=1e-6), nn.Linear(32, letters)
        settled(self, 0, (128, 48))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.features(image).squeeze(2).permute(0, 2, 1)
        return self.head(self.norm(self.block(x))).softmax(2)


class RecurrentRecogniser(nn.Module):
    """CRNN (Shi et al. 2015): convolutions, a bidirectional LSTM, logits for each place."""

    def __init__(self, letters: int = 40) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm(1, 16, act=nn.ReLU()), nn.MaxPool2d(2), conv_norm(16, 32, act=nn.ReLU()), nn.MaxPool2d(2),
            conv_norm(32, 32, act=nn.ReLU()), nn.MaxPool2d((2, 1)), nn.Conv2d(32, 32, (4, 1)), nn.ReLU(),
        )  # fmt: skip
        self.rnn, self.head = nn.LSTM(32, 16, bidirectional=True, batch_first=True), nn.Linear(32, letters)
        settled(self, 0, (128, 32), channels=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x, _ = self.rnn(self.features(image).squeeze(2).permute(0, 2, 1))
        return self.head(x)
