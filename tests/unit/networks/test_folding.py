"""Batch norms in and out of convolutions, with the function left as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from oakpoint.networks.folding import folded, settle_norms, unfold

IMAGES = torch.rand(4, 1, 32, 48, generator=torch.Generator().manual_seed(3))


def with_norms(*, bias: bool) -> nn.Sequential:
    """Nested, with norms of any statistics, and a last convolution without one."""
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, bias=bias),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(8, 8, 3, bias=bias), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Conv2d(8, 4, 1),
    )
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2.0)
            nn.init.uniform_(part.bias, -0.5, 0.5)
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize("bias", [True, False])
def test_what_was_folded_comes_out_again_with_the_same_function(bias: bool) -> None:
    original, network = with_norms(bias=bias), with_norms(bias=bias)
    for part in network.parameters():
        nn.init.uniform_(part, 0.1, 0.2)
    assert unfold(network, folded(original))
    with torch.inference_mode():
        torch.testing.assert_close(network(IMAGES), original(IMAGES), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "convolution",
    [
        {"groups": 8},
        {"dilation": 2},
        {"padding": 1, "padding_mode": "reflect"},
        {"stride": (2, 1), "padding": (0, 1)},
    ],
)
@pytest.mark.parametrize("affine", [True, False])
def test_every_kind_of_convolution_is_folded(convolution: dict[str, Any], affine: bool) -> None:
    torch.manual_seed(4)
    norm = nn.BatchNorm2d(8, affine=affine)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, **convolution), norm).eval()
    nn.init.uniform_(norm.running_mean, -0.5, 0.5)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    with torch.inference_mode():
        torch.testing.assert_close(folded(network)(IMAGES), network(IMAGES), rtol=1e-4, atol=1e-5)


def test_norms_settle_on_images_and_the_function_stays() -> None:
    network = with_norms(bias=False)
    with torch.inference_mode():
        before = network(IMAGES)
        settle_norms(network, IMAGES)
        torch.testing.assert_close(network(IMAGES), before, rtol=1e-4, atol=1e-5)
        inner = network[:3](IMAGES)  # what the second norm's convolution sees
        torch.testing.assert_close(network[3][1].running_mean, network[3][0](inner).mean(dim=(0, 2, 3)))
        # Normalised by the batch's own statistics it computes the same: training starts from there.
        torch.testing.assert_close(network.train()(IMAGES), before, rtol=0.02, atol=0.02)


def test_settling_leaves_the_mode_and_no_hook() -> None:
    network = with_norms(bias=True).train()
    settle_norms(network, IMAGES)
    assert network.training
    mean = network[1].running_mean.clone()
    network.eval()(IMAGES + 1)
    assert torch.equal(network[1].running_mean, mean)


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.append(nn.PReLU()),
        lambda network: network.append(nn.BatchNorm2d(4).requires_grad_(True)).insert(5, nn.ReLU()),
        lambda network: network.append(nn.Conv2d(4, 4, 1)),
        lambda network: network.__setitem__(4, nn.Conv2d(8, 4, 1, bias=False)),
    ],
    ids=["another parameter", "a norm behind no convolution", "a convolution more", "no place for a bias"],
)
def test_what_cannot_be_unfolded_stays_as_it_is(change: Callable[[nn.Sequential], object]) -> None:
    without = folded(with_norms(bias=False))
    network = with_norms(bias=False)
    change(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not unfold(network, without)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_network_that_is_shipped_with_norms_is_left_alone() -> None:
    assert not unfold(with_norms(bias=True), with_norms(bias=True))
