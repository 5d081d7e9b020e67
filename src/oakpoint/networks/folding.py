"""Batch norms folded into the convolutions before them, and taken out of them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

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
    factor, shift = 1 / torch.sqrt(norm.running_var + norm.eps), torch.zeros_like(norm.running_mean)
    if norm.affine:
        factor, shift = norm.weight * factor, norm.bias
    result = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        convolution.stride,  # type: ignore[arg-type]
        convolution.padding,  # type: ignore[arg-type]
        convolution.dilation,  # type: ignore[arg-type]
        convolution.groups,
        padding_mode=convolution.padding_mode,
    )
    bias = 0 if convolution.bias is None else convolution.bias
    result.weight.copy_(convolution.weight * factor[:, None, None, None])
    assert result.bias is not None
    result.bias.copy_(shift + (bias - norm.running_mean) * factor)
    return result


@torch.no_grad()
def unfold(network: nn.Module, without_norms: nn.Module) -> bool:
    """Give a network with batch norms the function of the same network without them.

    Its convolutions take the weights over in the order of their definition, its norms become neutral (mean 0,
    variance 1) and carry the biases. ``settle_norms`` gives them statistics.

    Args:
        network: changed, if it can be: it learns nothing but convolutions, each with a partner of the same shape, and
            norms right behind them.
        without_norms: as ``folded`` leaves it.

    Returns:
        Whether it could be done.
    """
    own_convolutions, others = _convolutions(network), _convolutions(without_norms)
    norms = _norms_behind(network)
    if (
        [own.weight.shape for own in own_convolutions] != [other.weight.shape for other in others]
        or any(own.bias is None and own not in norms for own in own_convolutions)
        or _learns_more_than(network, [*own_convolutions, *norms.values()])
        or _learns_more_than(without_norms, others)
    ):
        return False
    for own, other in zip(own_convolutions, others, strict=True):
        own.weight.copy_(other.weight)
        bias = torch.zeros(own.out_channels) if other.bias is None else other.bias
        if (norm := norms.get(own)) is not None:
            norm.reset_running_stats()
            norm.weight.fill_((1 + norm.eps) ** 0.5)
            norm.bias.copy_(bias)
            bias = torch.zeros_like(bias)
        if own.bias is not None:
            own.bias.copy_(bias)
    return True


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _learns_more_than(module: nn.Module, parts: Sequence[nn.Module]) -> bool:
    known = {id(parameter) for part in parts for parameter in part.parameters()}
    return any(id(parameter) not in known for parameter in module.parameters())


def _norms_behind(module: nn.Module) -> dict[nn.Conv2d, nn.BatchNorm2d]:
    """The batch norm right behind a convolution, for those that have one that learns."""
    return {
        before: after
        for part in module.modules()
        if isinstance(part, nn.Sequential)
        for before, after in pairwise(part)
        if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d) and after.affine
    }


@torch.no_grad()
def settle_norms(network: nn.Module, images: torch.Tensor) -> None:
    """Measure the statistics of a network's batch norms on images, and leave its function in evaluation mode as it is.

    Trained on, it then starts from what it computes, also where every batch is normalised by its own statistics.

    Args:
        network: changed.
        images: (N, 1, H, W), like those that it will be trained on.
    """
    training = network.training
    with _settled_on_the_way(network):
        network.eval()(images)
    network.train(training)


@contextmanager
def _settled_on_the_way(network: nn.Module) -> Iterator[None]:
    handles = [
        part.register_forward_pre_hook(_settle)
        for part in network.modules()
        if isinstance(part, nn.BatchNorm2d) and part.affine
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _settle(norm: nn.BatchNorm2d, inputs: tuple[torch.Tensor]) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    variance, mean = torch.var_mean(inputs[0].float(), dim=(0, 2, 3))
    norm.bias.add_((mean - norm.running_mean) * factor)
    norm.weight.copy_(factor * torch.sqrt(variance + norm.eps))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
