"""Safe loading of weights files: no code runs, and every tensor is checked against the network by name and shape."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import WeightsError
from oakpoint.networks.checkpoints import kind_of, read_state_dict

State = dict[str, torch.Tensor]

_NAMED = 3
"""Tensors that a message names before it counts the others."""

_log = logging.getLogger(__name__)


def read_state(path: Path) -> State:
    """Read a state dict (a pickle through torch's restricted unpickler, or safetensors) as float32 tensors.

    Of a checkpoint that holds more (epoch, optimiser) the network's state dict is taken; see ``STATE_KEYS``.

    Raises:
        WeightsError: see ``read_state_dict``; and a tensor that is not of floating point or not finite.
    """
    return {name: _checked(path, name, tensor) for name, tensor in read_state_dict(path).items()}


def _checked(path: Path, name: str, tensor: object) -> torch.Tensor:
    if not isinstance(tensor, torch.Tensor):
        raise WeightsError(f"{path}: {name}: expected a tensor, got {kind_of(tensor)}")
    if not tensor.is_floating_point():
        if tensor.numel() == 1:  # batch-norm's count of batches
            return tensor
        raise WeightsError(f"{path}: {name}: expected floating point, got {tensor.dtype}")
    try:
        tensor = tensor.detach().float()
        finite = bool(torch.isfinite(tensor).all())
    except (RuntimeError, NotImplementedError) as error:
        raise WeightsError(
            f"{path}: {name}: expected a plain dense tensor, got {tensor.layout} {tensor.device}"
        ) from error
    if not finite:
        raise WeightsError(f"{path}: {name}: holds values that are not finite")
    return tensor


def load_into(module: nn.Module, state: State, path: Path) -> None:
    """Put a state dict into a network; every tensor of both must match by name and shape.

    Names may differ as in ``fitted``; a note of that is logged.

    Raises:
        WeightsError: naming the tensors that are missing, left over or misshapen, with what was expected and got.
    """
    expected = module.state_dict()
    own = fitted(module, state)
    if own is None:
        raise WeightsError(f"{path}: {_mismatch(set(expected), set(state), type(module).__name__)}")
    for name, tensor in expected.items():
        if own[name].shape != tensor.shape:
            raise WeightsError(
                f"{path}: tensor {name!r}: expected shape {tuple(tensor.shape)}, got {tuple(own[name].shape)}"
            )
    if set(own) != set(state):
        given = next(iter(state))
        taken = next(name for name, tensor in own.items() if tensor is state[given])
        _log.warning("%s: tensors taken under the network's own names: %s as %s, and so on", path, given, taken)
    module.load_state_dict(own)


def fitted(module: nn.Module, state: State) -> State | None:
    """A state dict under a network's own names, where it has the same tensors; None where it has not.

    Its names may have one prefix more than the network's, or fewer, as ``DataParallel`` (``module.``),
    ``torch.compile`` (``_orig_mod.``) and classes around a network leave them; or be those that the network's class
    lists in ``other_names`` (other name → own).
    """
    expected = list(module.state_dict())
    other_names: dict[str, str] = getattr(module, "other_names", {})
    bare = without_prefix(state)
    for named in (state, bare, {other_names.get(name, name): tensor for name, tensor in bare.items()}):
        if named.keys() == set(expected):
            return named
        prefix = _common_prefix(expected)
        if {prefix + name for name in named} == set(expected):
            return {prefix + name: tensor for name, tensor in named.items()}
    return None


def without_prefix(state: State) -> State:
    """The same tensors without the prefix that all their names have in common, up to a dot."""
    prefix = _common_prefix(state)
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _common_prefix(names: Iterable[str]) -> str:
    parts = [name.split(".")[:-1] for name in names]
    common = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))]
    return "".join(f"{part}." for part in common)


def _mismatch(expected: set[str], given: set[str], network: str) -> str:
    missing, extra = sorted(expected - given), sorted(given - expected)
    left_over = f"{_some(extra)} {'does' if len(extra) == 1 else 'do'} not belong"
    if not missing:
        return f"{left_over} to {network}, which has {len(expected)} tensors"
    verb = "is" if len(missing) == 1 else "are"
    text = f"{_some(missing)} {verb} missing: expected {len(expected)} tensors of {network}, got {len(given)}"
    return text + (f", of which {left_over}" if extra else "")


def _some(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMED]))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"tensor{'s' if len(names) > 1 else ''} {shown}{more}"


def batch_norms(module: nn.Module) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Factor and shift (C,) of every batch norm in evaluation mode, as an exporter folds them into a convolution."""
    norms = []
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_var is not None:
            mean, variance = (np.asarray(t.numpy(), np.float64) for t in (part.running_mean, part.running_var))  # type: ignore[union-attr]
            factor = 1 / np.sqrt(variance + part.eps)
            shift = -mean * factor
            if part.affine:
                weight, bias = (np.asarray(p.detach().numpy(), np.float64) for p in (part.weight, part.bias))
                factor, shift = factor * weight, shift * weight + bias
            norms.append((factor, shift))
    return norms


def initialise_randomly(module: nn.Module, seed: int) -> WeightsRecord:
    """Fill every convolution with He-normal weights and zero biases from a seed, and say so in the record.

    Vectors other than biases (a batch norm's scales) keep the values that their layers start with.

    Source: He et al. 2015, arXiv 1502.01852, equation 10: keeps the activations' scale through ReLU layers.
    """
    rng = np.random.default_rng(seed)
    for name, parameter in sorted(module.named_parameters()):
        if parameter.ndim > 1:
            values = rng.normal(0.0, np.sqrt(2 / parameter[0].numel()), tuple(parameter.shape))
            parameter.data = torch.from_numpy(values.astype(np.float32))
        elif name.endswith("bias"):
            parameter.data = torch.zeros(parameter.shape)
    return WeightsRecord(
        file=None,
        sha256=None,
        name="random initialisation",
        licence="none",
        origin=f"drawn with seed {seed}; NOT TRAINED, its keypoints mean nothing",
        trained=False,
        seed=seed,
    )
