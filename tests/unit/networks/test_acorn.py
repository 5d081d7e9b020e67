"""acorn: its interface, its budget, and the two forms of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from oakpoint.errors import WeightsError
from oakpoint.networks.acorn import Acorn
from oakpoint.networks.registry import load_network, shipped_weights
from oakpoint.networks.student import build_student, deployed
from oakpoint.networks.superpoint import SuperPoint


def _multiply_accumulates(network: nn.Module, *, height: int, width: int) -> int:
    total = 0

    def count(layer: nn.Conv2d, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output[0].numel() * layer.weight[0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 1, height, width))
    return total


def _trained_a_little() -> Acorn:
    """A trainable acorn whose batch norms have statistics and scales of their own."""
    torch.manual_seed(1)
    network = Acorn.trainable()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2.0)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    for _ in range(3):
        network(torch.rand(2, 1, 64, 64))
    return network.eval()


def test_it_has_superpoints_interface() -> None:
    semi, desc = Acorn().eval()(torch.zeros(2, 1, 40, 64))
    assert semi.shape == (2, 65, 5, 8)
    assert desc.shape == (2, 64, 5, 8)


def test_it_needs_a_twenty_fifth_of_superpoints_multiply_accumulates() -> None:
    acorn, superpoint = (_multiply_accumulates(network(), height=480, width=640) for network in (Acorn, SuperPoint))
    assert superpoint == pytest.approx(26.1e9, rel=0.01)
    assert acorn == pytest.approx(0.94e9, rel=0.01)
    assert acorn <= superpoint / 25


def test_widths_are_multiples_of_sixteen_but_for_the_logits() -> None:
    widths = [layer.out_channels for layer in Acorn().modules() if isinstance(layer, nn.Conv2d)]
    assert [width for width in widths if width % 16] == [65]


def test_the_deployed_network_has_no_batch_norm_and_computes_the_same() -> None:
    trained = _trained_a_little()
    shipped = deployed(trained)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in shipped.modules())
    image = torch.rand(1, 1, 64, 96)
    with torch.inference_mode():
        for expected, got in zip(trained(image), shipped(image), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_folding_leaves_the_trained_network_as_it_was() -> None:
    trained = _trained_a_little()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    deployed(trained)
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_student_starts_from_deployed_weights_as_it_is_trained(tmp_path: Path) -> None:
    shipped = deployed(_trained_a_little())
    torch.save(shipped.state_dict(), tmp_path / "w.pth")
    student = build_student("acorn", seed=0, init=tmp_path / "w.pth").eval()
    assert any(isinstance(part, nn.BatchNorm2d) for part in student.modules())
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        for expected, got in zip(shipped(image), student(image), strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_a_student_starts_from_trainable_weights_in_trainable_form(tmp_path: Path) -> None:
    trained = _trained_a_little()
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    student = build_student("acorn", seed=0, init=tmp_path / "w.pth")
    assert any(isinstance(part, nn.BatchNorm2d) for part in student.modules())


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    torch.save(SuperPoint().state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="Acorn"):
        build_student("acorn", seed=0, init=tmp_path / "w.pth")


def test_the_same_seed_gives_the_same_student() -> None:
    first, second, other = (build_student("acorn", seed=seed).state_dict() for seed in (3, 3, 4))
    name = "encoder.0.0.weight"
    assert torch.equal(first[name], second[name])
    assert not torch.equal(first[name], other[name])


def test_the_shipped_weights_are_under_a_megabyte_and_half_precision() -> None:
    from safetensors.torch import load_file

    path = shipped_weights("acorn")
    assert path is not None
    assert path.stat().st_size < 1_000_000
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    Acorn().load_state_dict(load_file(path))


def test_the_shipped_weights_are_known_and_free() -> None:
    network = load_network("acorn", None)
    assert (network.weights.name, network.weights.licence) == ("acorn", "Apache-2.0")
    assert network.decode_preset == "acorn"
