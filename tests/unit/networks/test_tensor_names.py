"""Names that trainers and wrappers leave are made the network's; nothing is taken that is not clearly meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from oakpoint.errors import WeightsError
from oakpoint.networks.tensor_names import State, fitted, groups_that_fit
from oakpoint.networks.weights import load_into, read_state


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        self.head = nn.Conv2d(2, 1, 1)
        self.register_buffer("positions", torch.arange(6).reshape(2, 3))
        self.register_buffer("mask", torch.tensor([True, False]))


class Around(nn.Module):
    """A network whose own attribute is called as wrappers call theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Conv2d(1, 1, 1)
        self.model = nn.Conv2d(1, 1, 1)


@pytest.fixture
def state() -> State:
    torch.manual_seed(3)
    return dict(Small().state_dict())


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def other(state: State) -> State:
    return {name: 5 * tensor.float() for name, tensor in state.items()}


@pytest.mark.parametrize(
    "given",
    [
        lambda s: s,
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("model."),
        prefixed("module.model."),
        prefixed("_orig_mod.module.net."),
        prefixed("anything.at.all."),
        lambda s: {name.replace("stem.", "stem._orig_mod."): tensor for name, tensor in s.items()},
        lambda s: {"model." + name.replace("stem.0.", "stem.0.module."): tensor for name, tensor in s.items()},
        lambda s: {**prefixed("model.")(s), "criterion.weight": torch.ones(3)},
        lambda s: {**prefixed("module.")(s), "n_averaged": torch.tensor(7)},
        lambda s: {**prefixed("encoder.")(s), "decoder.0.weight": torch.ones(3)},
        lambda s: {**prefixed("teacher.")(other(s)), **prefixed("model.")(s)},
        lambda s: {name: tensor for name, tensor in s.items() if not name.endswith("num_batches_tracked")},
    ],
)
def test_names_that_are_understood(state: State, given: Callable[[State], State]) -> None:
    found = fitted(Small(), given(state))
    assert found is not None
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    "given",
    [
        lambda s: {**s, "fc.weight": torch.ones(1)},
        lambda s: {name: tensor for name, tensor in s.items() if name != "head.bias"},
        lambda s: {**prefixed("a.")(s), **prefixed("b.")(other(s))},
        lambda s: {**prefixed("model.")(s), **prefixed("net.")(other(s))},
        lambda s: {},
    ],
)
def test_names_that_are_not(state: State, given: Callable[[State], State]) -> None:
    assert fitted(Small(), given(state)) is None


def test_a_network_with_a_wrappers_name_inside() -> None:
    state = dict(Around().state_dict())
    for given in (state, prefixed("module.")(state)):
        found = fitted(Around(), given)
        assert found is not None
        assert all(found[name] is tensor for name, tensor in state.items())


def test_several_such_networks_are_named(state: State, tmp_path: Path) -> None:
    both = {**prefixed("student.")(state), **prefixed("teacher.")(other(state))}
    assert list(groups_that_fit(Small(), both)) == ["student.", "teacher."]
    with pytest.raises(WeightsError, match=r"w.pth: holds such a network several times, under student., teacher.;"):
        load_into(Small(), both, tmp_path / "w.pth")


def test_what_was_left_out_is_said(state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_into(Small(), {**prefixed("model.")(state), "loss.a": torch.ones(1), "loss.b": torch.ones(1)}, tmp_path / "w")
    assert "tensors taken under the network's own names: model.positions as positions, and so on" in caplog.text
    assert "left out, since the network has no such: tensors 'loss.a', 'loss.b'" in caplog.text


def test_whole_numbers_and_truth_values_are_loaded(state: State, tmp_path: Path) -> None:
    state["positions"], state["mask"] = state["positions"] + 7, ~state["mask"]
    torch.save(state, tmp_path / "w.pth")
    module = Small()
    load_into(module, read_state(tmp_path / "w.pth"), tmp_path / "w.pth")
    assert module.positions.dtype == torch.int64
    assert torch.equal(module.positions, state["positions"])
    assert torch.equal(module.mask, state["mask"])


def test_counters_of_a_state_dict_made_half_as_a_whole(state: State, tmp_path: Path) -> None:
    torch.save({name: tensor.half() for name, tensor in state.items()}, tmp_path / "w.pth")
    module = Small()
    load_into(module, read_state(tmp_path / "w.pth"), tmp_path / "w.pth")
    assert torch.equal(module.positions, state["positions"])
    assert module.mask.dtype == torch.bool


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (
            "head.weight",
            torch.ones(1, 2, 1, 1, dtype=torch.int8),
            "head.weight: expected floating point, got torch.int8",
        ),
        ("positions", torch.full((2, 3), 0.5), "positions: expected torch.int64, got torch.float32"),
        ("mask", torch.tensor([2, 0]), "mask: expected torch.bool, got torch.int64"),
    ],
)
def test_other_kinds_of_numbers_are_refused(
    state: State, tmp_path: Path, name: str, tensor: torch.Tensor, message: str
) -> None:
    with pytest.raises(WeightsError, match=f"w.pth: {message}"):
        load_into(Small(), {**state, name: tensor}, tmp_path / "w.pth")
