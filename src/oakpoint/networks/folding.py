"""Batch norms folded into the convolutions before them."""

from __future__ import annotations

import torch
from torch import nn


def folded(module: nn.Module) -> nn.Sequential:
    """The same function in evaluation mode with no batch norm: every «convolution, batch norm» becomes a convolution.

    Nested ``Sequential`` modules are folded too; other modules are taken over as they are.
    """
    assert isinstance(module, nn.Sequential)
    parts: list[nn.Module] = []
    for part in module:
        if isinstance(part, nn.BatchNorm2d):
            convolution = parts.pop()
            assert isinstance(convolution, nn.Conv2d)
            parts.append(_fold(convolution, part))
        else:
            parts.append(folded(part) if isinstance(part, nn.Sequential) else part)
    return nn.Sequential(*parts)


@torch.no_grad()
def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    result = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
    )
    bias = 0 if convolution.bias is None else convolution.bias
    result.weight.copy_(convolution.weight * factor[:, None, None, None])
    assert result.bias is not None
    result.bias.copy_(norm.bias + (bias - norm.running_mean) * factor)
    return result
