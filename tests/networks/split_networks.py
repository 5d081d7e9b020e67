"""Small networks whose ends a device does not take, in torch and as ONNX, for tests that cut them."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from graphs import graph
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

SIZE = (96, 64)
"""(W, H) of their images."""


class Body(nn.Sequential):
    """Three strided convolutions."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, channels, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, 2, 1), nn.ReLU(),
        )  # fmt: skip


class Sampled(nn.Module):
    """Reads its features at places that it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.places = Body(), nn.Conv2d(16, 2, 3, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.body(image)
        places = torch.tanh(self.places(features)).permute(0, 2, 3, 1)
        return functional.grid_sample(features, places, align_corners=False)


class SampledImage(Sampled):
    """Reads the image itself there, which the host has to be given."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        places = torch.tanh(self.places(self.body(image))).permute(0, 2, 3, 1)
        return functional.grid_sample(image, places, align_corners=False)


class Attention(nn.Module):
    """A layer norm, attention, and an end that no kernel computes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.last = Body(), nn.LayerNorm(16), nn.Linear(16, 8)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.body(image).flatten(2).transpose(1, 2)
        normed = self.norm(tokens)
        tokens = torch.sin(tokens + self.attention(normed, normed, normed, need_weights=False)[0])
        return self.last(tokens)


_BOXES = """
a = Conv <pads = [1, 1, 1, 1], strides = [4, 4]> (image, w1)
b = Relu (a)
c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (b, w2)
d = Relu (c)
logits = Conv (d, w3)
s = Slice (logits, zero, one, channels)
p = Sigmoid (s)
scores = Reshape (p, scores_shape)
e = Slice (logits, one, five, channels)
f = Sigmoid (e)
g = Reshape (f, boxes_shape)
boxes = Transpose <perm = [0, 2, 1]> (g)
"""

_SUPPRESSED = """
kept = NonMaxSuppression (boxes, scores, most, overlap, least)
"""

_BEST = """
flat = Reshape (scores, flat_shape)
best, places = TopK (flat, count)
columns = Unsqueeze (places, last)
wide = Tile (columns, four)
chosen = GatherElements <axis = 1> (boxes, wide)
"""


def detector(end: str) -> onnx.ModelProto:
    """A detector with its end inside: ``suppressed`` (NMS) or ``best`` (top-k), for RGB images of ``SIZE``."""
    rng = np.random.default_rng(5)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)

    weights = {
        "w1": drawn(8, 3, 3, 3), "w2": drawn(16, 8, 3, 3), "w3": 4 * drawn(5, 16, 1, 1),
        "zero": np.array([0]), "one": np.array([1]), "five": np.array([5]), "channels": np.array([1]),
        "scores_shape": np.array([1, 1, -1]), "boxes_shape": np.array([1, 4, -1]), "flat_shape": np.array([1, -1]),
        "most": np.array(4), "overlap": np.array(0.5, np.float32), "least": np.array(0.5, np.float32),
        "count": np.array([4]), "last": np.array([2]), "four": np.array([1, 1, 4]),
    }  # fmt: skip
    body, outputs = {
        "suppressed": (_BOXES + _SUPPRESSED, "int64 kept"),
        "best": (_BOXES + _BEST, "float best, float chosen"),
    }[end]
    model = graph(body, inputs="float[1, 3, 64, 96] image", outputs=outputs, opset=17)
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(w, n) for n, w in weights.items() if n in used)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)
