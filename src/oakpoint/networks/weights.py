"""Safe loading of weights files: no code runs, and every tensor is checked against the network by name and shape."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import WeightsError
from oakpoint.networks.checkpoints import kind_of, read_state_dict
from oakpoint.networks.licences import UNKNOWN, arrays_of, recognised_record
from oakpoint.networks.tensor_names import COUNTER, State, fitted, groups_that_fit

_NAMED = 3
"""Tensors that a message names before it counts the others."""

_log = logging.getLogger(__name__)


def read_state(path: Path) -> State:
    """Read a state dict (a pickle through torch's restricted unpickler, or safetensors) as tensors on the CPU.

    Floating-point tensors come as float32; whole numbers and truth values (positions, counters, masks) as they are.

    Of a checkpoint that holds more (epoch, optimiser) the network's state dict is taken; see ``STATE_KEYS``.

    Raises:
        WeightsError: see ``read_state_dict``; and a tensor that is complex, quantised, sparse or not finite.
    """
    return {name: _checked(path, name, tensor) for name, tensor in read_state_dict(path).items()}


def _checked(path: Path, name: str, tensor: object) -> torch.Tensor:
    """A tensor as it is taken: floating point as float32, whole numbers and truth values as they are."""
    if not isinstance(tensor, torch.Tensor):
        raise WeightsError(f"{path}: {name}: expected a tensor, got {kind_of(tensor)}")
    if tensor.is_complex() or tensor.is_quantized:
        raise WeightsError(f"{path}: {name}: expected floating point or whole numbers, got {tensor.dtype}")
    try:
        tensor = tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
        finite = bool(torch.isfinite(tensor).all())
    except (RuntimeError, NotImplementedError) as error:
        raise WeightsError(
            f"{path}: {name}: expected a plain dense tensor, got {tensor.layout} {tensor.device}"
        ) from error
    if not finite:
        raise WeightsError(f"{path}: {name}: holds values that are not finite")
    return tensor


def load_into(module: nn.Module, state: State, path: Path) -> None:
    """Put a state dict into a network; every tensor of both must match by name, shape and kind of number.

    Names may differ as in ``fitted``; what was left out of them, and what did not belong, is logged.

    Raises:
        WeightsError: naming the tensors that are missing, left over or misshapen, with what was expected and got.
    """
    expected = module.state_dict()
    own = fitted(module, state)
    if own is None:
        if several := groups_that_fit(module, state):
            raise WeightsError(
                f"{path}: holds such a network several times, under {', '.join(several)}; save one of them alone"
            )
        raise WeightsError(f"{path}: {_mismatch(set(expected), set(state), type(module).__name__)}")
    for name, tensor in expected.items():
        if own[name].shape != tensor.shape:
            raise WeightsError(
                f"{path}: tensor {name!r}: expected shape {tuple(tensor.shape)}, got {tuple(own[name].shape)}"
            )
    _say_what_was_taken(own, state, path)
    module.load_state_dict({name: _as_kind(path, name, own[name], tensor) for name, tensor in expected.items()})


def _as_kind(path: Path, name: str, tensor: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """A tensor of the kind that the network has: floating point or not; one is never made of the other with a loss."""
    if tensor.is_floating_point() == wanted.is_floating_point():
        changed = tensor.to(wanted.dtype)
        if tensor.is_floating_point() or torch.equal(changed.to(tensor.dtype), tensor):
            return changed
    elif tensor.is_floating_point() and torch.equal(tensor.to(wanted.dtype).to(tensor.dtype), tensor):
        return tensor.to(wanted.dtype)  # of a state dict that was made half precision as a whole, counters and all
    expected = "floating point" if wanted.is_floating_point() else str(wanted.dtype)
    raise WeightsError(f"{path}: {name}: expected {expected}, got {tensor.dtype}")


def _say_what_was_taken(own: State, state: State, path: Path) -> None:
    """Log how a file's names became the network's, and which of its tensors are not the network's."""
    own_name = {id(tensor): name for name, tensor in own.items()}
    taken = [(given, own_name[id(tensor)]) for given, tensor in state.items() if id(tensor) in own_name]
    given, name = taken[0]
    if any(given != name for given, name in taken):
        _log.warning("%s: tensors taken under the network's own names: %s as %s, and so on", path, given, name)
    left = sorted(set(state) - {given for given, _ in taken})
    if left:
        _log.warning("%s: left out, since the network has no such: %s", path, _some(left))
    counters = len(own) - len(taken)
    if counters:
        _log.info("%s: without %d counters of batches (%s), on which nothing hangs", path, counters, COUNTER)


def _mismatch(expected: set[str], given: set[str], network: str) -> str:
    missing, extra = sorted(expected - given), sorted(given - expected)
    left_over = f"{_some(extra)} {'does' if len(extra) == 1 else 'do'} not belong"
    if not missing:
        return f"{left_over} to {network}, which has {len(expected)} tensors"
    verb = "is" if len(missing) == 1 else "are"
    text = f"{_some(missing)} {verb} missing: expected {len(expected)} tensors of {network}, got {len(given)}"
    return text + (f", of which {left_over}" if extra else "")


def _some(names: list[str]) -> str:
    if not names:
        return ""
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


def unlike(one: nn.Module, other: nn.Module) -> str:
    """Which tensors of two networks are not the same bit for bit, in words; empty where all are."""
    mine, theirs = one.state_dict(), other.state_dict()
    return _some([name for name, tensor in mine.items() if name not in theirs or not _same(tensor, theirs[name])])


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(_bytes_of(one), _bytes_of(other))


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8)


def own_record(name: str, module: nn.Module) -> WeightsRecord:
    """The record of weights that a network's class sets itself: known by a hash over its state dict.

    Raises:
        WeightsError: they are not finite.
    """
    sha256 = hashlib.sha256()
    state = module.state_dict()
    for tensor_name, tensor in sorted(state.items()):
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{name}: {tensor_name}: holds values that are not finite")
        sha256.update(f"{tensor_name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(_bytes_of(tensor).numpy().tobytes())
    claimed = WeightsRecord(
        file=None, sha256=sha256.hexdigest(), name=UNKNOWN, licence=UNKNOWN, origin="from the class itself"
    )
    record = recognised_record(claimed, arrays_of(state))
    return record if record.name == UNKNOWN else replace(record, origin=f"{claimed.origin}; {record.origin}")


def initialise_randomly(module: nn.Module, seed: int, finds: str = "what it finds means") -> WeightsRecord:
    """Fill every convolution with He-normal weights and zero biases from a seed, and say so in the record.

    Vectors other than biases (a batch norm's scales) keep the values that their layers start with.

    Args:
        module: changed in place.
        seed: of the weights.
        finds: what means nothing, with its verb, for the record.

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
        origin=f"drawn with seed {seed}; NOT TRAINED, {finds} nothing",
        trained=False,
        seed=seed,
    )
