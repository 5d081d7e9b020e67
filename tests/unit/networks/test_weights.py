from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from oakpoint.errors import WeightsError
from oakpoint.networks.weights import (
    KNOWN_WEIGHTS,
    fingerprint,
    initialise_randomly,
    load_into,
    read_state,
    record_of,
)


def network(seed: int = 0) -> nn.Module:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    initialise_randomly(module, seed)
    return module


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def equal(a: nn.Module, b: nn.Module) -> bool:
    states = a.state_dict(), b.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def loaded(path: Path) -> nn.Module:
    module = network(1)
    load_into(module, read_state(path), path)
    return module


@pytest.mark.parametrize("nested", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
def test_a_state_dict_loads_bare_or_within_a_checkpoint(tmp_path: Path, nested: Callable[[object], object]) -> None:
    path = saved(tmp_path / "w.pth", nested(network().state_dict()))
    assert equal(loaded(path), network())


def test_fp16_weights_load_as_float32(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in network().state_dict().items()}
    read = read_state(saved(tmp_path / "w.pth", state))
    assert {tensor.dtype for tensor in read.values()} == {torch.float32}
    assert all(torch.equal(read[name], state[name].float()) for name in state)


def test_safetensors_load(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(network().state_dict(), path)
    assert equal(loaded(path), network())


def test_the_legacy_format_loads(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=False)
    assert equal(loaded(path), network())


class RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("beside", [True, False])
def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, zipped: bool, beside: bool) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "evil.pth"
    content = {**network().state_dict(), "extra": RunsCode(marker)} if beside else RunsCode(marker)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=rf"^{path}: holds posix\.system, which is not a tensor and could run code"):
        read_state(path)
    assert not marker.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "module.pth", network())
    with pytest.raises(WeightsError, match=r"module\.pth: holds torch\.nn\.\S+Sequential, .*torch\.save\(model\.state"):
        read_state(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("2.bias"), "tensor '2.bias' is missing: expected 4 tensors of Sequential, got 3"),
        (
            lambda s: s.update({"0.weight": torch.zeros(4, 3, 3, 1)}),
            r"tensor '0.weight': expected shape \(4, 1, 3, 3\), got \(4, 3, 3, 1\)",
        ),
        (lambda s: s.update(other=torch.zeros(1)), r"tensor 'other' does not belong to Sequential \(1 such\)"),
        (lambda s: s["0.bias"].__setitem__(2, float("nan")), "0.bias: holds values that are not finite"),
        (lambda s: s["0.bias"].__setitem__(2, float("inf")), "0.bias: holds values that are not finite"),
        (lambda s: s.update({"0.bias": [1.0]}), "0.bias: expected a tensor, got list"),
        (lambda s: s.update({"0.bias": torch.zeros(4, dtype=torch.int8)}), "0.bias: expected floating point, got torc"),
        (lambda s: s.update({"0.bias": torch.zeros(4, dtype=torch.complex64)}), "0.bias: expected floating point"),
        (
            lambda s: s.update({"0.bias": torch.zeros(4).to_sparse()}),
            "0.bias: expected a plain dense tensor, got torch",
        ),
        (lambda s: s.clear(), "expected a state dict .tensor by name., got an empty dict"),
    ],
    ids=["missing", "misshapen", "left over", "nan", "inf", "list", "int8", "complex", "sparse", "empty"],
)
def test_a_wrong_tensor_is_named_with_what_was_expected_and_got(
    tmp_path: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    state = dict(network().state_dict())
    change(state)
    path = saved(tmp_path / "w.pth", state)
    with pytest.raises(WeightsError, match=f"^{path}: {message}"):
        loaded(path)


@pytest.mark.parametrize("content", [None, 3, [torch.zeros(2)], torch.zeros(2)])
def test_something_else_than_a_state_dict(tmp_path: Path, content: object) -> None:
    path = saved(tmp_path / "w.pth", content)
    with pytest.raises(WeightsError, match=f"^{path}: expected a state dict .* got {type(content).__name__}"):
        read_state(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"PK\x03\x04", b"\x80\x02", bytes(range(256)) * 8],
    ids=["empty", "text", "zip", "pkl", "bytes"],
)
def test_a_foreign_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"^{path}: "):
        read_state(path)


def test_a_folder_or_nothing(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.pth"):
        with pytest.raises(WeightsError, match=f"^{path}: no such weights file"):
            read_state(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_cut_short_anywhere(tmp_path: Path, kind: str) -> None:
    whole, path = tmp_path / "whole", tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        safetensors.torch.save_file(network().state_dict(), whole)
    else:
        torch.save(network().state_dict(), whole, _use_new_zipfile_serialization=kind == "zip")
    data = whole.read_bytes()
    rng = random.Random(7)
    for length in [0, 1, 4, len(data) - 1, *(rng.randrange(len(data)) for _ in range(40))]:
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError, match=f"^{path}: "):
            loaded(path)


def test_a_record_of_unknown_weights(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.pth", network().state_dict())
    record = record_of(path, read_state(path))
    assert (record.file, record.name, record.licence, record.trained) == ("mine.pth", "unknown", "unknown", True)


@pytest.mark.shared
@pytest.mark.parametrize("copy", ["as it is", "fp16", "safetensors", "scaled"])
def test_the_official_weights_are_recognised(superpoint_weights: Path, tmp_path: Path, copy: str) -> None:
    path = superpoint_weights
    state = read_state(path)
    if copy == "fp16":
        path = saved(tmp_path / "half.pth", {name: tensor.half() for name, tensor in state.items()})
    elif copy == "safetensors":
        path = tmp_path / "w.safetensors"
        safetensors.torch.save_file(state, path)
    elif copy == "scaled":
        path = saved(tmp_path / "scaled.pth", state | {"conv1a.weight": state["conv1a.weight"] / 255})
    record = record_of(path, read_state(path))
    assert record.name == "SuperPoint v1 (official)"
    assert "non-commercial" in record.licence
    assert record.origin == KNOWN_WEIGHTS[0].origin


@pytest.mark.shared
def test_weights_changed_a_little_are_not_the_official_ones(superpoint_weights: Path, tmp_path: Path) -> None:
    state = read_state(superpoint_weights)
    largest = max(sorted(state), key=lambda name: state[name].numel())
    state[largest] = state[largest] * 1.01
    assert record_of(saved(tmp_path / "w.pth", state), state).name == "unknown"
    assert fingerprint(state) != KNOWN_WEIGHTS[0].fingerprint


def test_a_random_initialisation_follows_from_its_seed() -> None:
    assert equal(network(5), network(5))
    assert not equal(network(5), network(6))
    record = initialise_randomly(network(), 5)
    assert (record.trained, record.seed, record.file) == (False, 5, None)
    assert "NOT TRAINED" in record.origin


def test_a_random_initialisation_keeps_the_scale_and_batch_norms() -> None:
    module = nn.Sequential(nn.Conv2d(64, 512, 3), nn.BatchNorm2d(512))
    initialise_randomly(module, 0)
    assert module[0].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert not module[0].bias.any()
    assert torch.equal(module[1].weight, torch.ones(512)), "a batch norm of zeros would put out nothing"
