"""Safe loading of weights files: no code runs, and every tensor is checked against the network by name and shape."""

from __future__ import annotations

import hashlib
import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import UsageError, WeightsError
from oakpoint.files import sha256_of_file
from oakpoint.runtimes import importing

State = dict[str, torch.Tensor]

DECODE_PRESET = "decode_preset"
"""Key of a safetensors file's header: the decode options that its weights were trained for."""

RESTRICTION, LICENCE = "restriction", "licence"
"""Keys of a safetensors file's header: what its weights learnt from binds them, and under which licence that is."""


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """Weights that are recognised.

    Attributes:
        sha256: of the file as published; None where only copies of it were seen.
        fingerprint: ``fingerprint`` of its tensors, which also recognises copies that are stored in another way.
        restriction: why what learns from them must not ship freely; empty where nothing stands against it.
    """

    sha256: str | None
    fingerprint: str
    name: str
    licence: str
    origin: str
    restriction: str = ""


def _edgepoint2(variant: str, fingerprint: str) -> KnownWeights:
    return KnownWeights(None, fingerprint, f"EdgePoint2 {variant} (official)", "MIT", "github.com/HITCSC/EdgePoint2")


def _alike(variant: str, fingerprint: str) -> KnownWeights:
    return KnownWeights(None, fingerprint, f"ALIKE-{variant} (official)", "BSD-3-Clause", "github.com/Shiaoming/ALIKE")


KNOWN_WEIGHTS = (
    KnownWeights(
        sha256="52b6708629640ca883673b5d5c097c4ddad37d8048b33f09c8ca0d69db12c40e",
        fingerprint="0847bd29f0a8bd991eb737f62388e79d458e2b848b8fbf7ad23408ab5d4d6c38",
        name="SuperPoint v1 (official)",
        licence="Magic Leap, non-commercial research only",
        origin="github.com/magicleap/SuperPointPretrainedNetwork",
        restriction="SuperPoint v1's licence allows non-commercial research only and extends to derivatives, such as "
        "weights that learn from it",
    ),
    _edgepoint2("T32", "c2ff26dfa0af7df723e0fd938d3f7dc2f0d9975a224a77f8140f7d9c32f0377a"),
    _edgepoint2("S48", "029452e2724e9a27c45c3101ccfda481bd7473415680602480c8ebee71cda718"),
    _edgepoint2("M64", "226a01228ee3da8ff54bed9d9838457688e91ef9ab7f284e12067c3837291811"),
    _edgepoint2("E64", "a1e1a014c8270a772da73a9ef528049f36d65d8560f3bd92e531e77fd7739196"),
    _alike("n", "4e839546e803e19cc3da058c03d6e333e5e38191098e05e44ffbf22122ab4352"),
    _alike("l", "2343e5561d7ec0452e4c20394c6669c4930a67b11f4bf37cc25671e1aeb2cf51"),
    KnownWeights(
        sha256="e03bffa0e91a4a3d6c8fba4d319b35aec686218ffbe48d38b7683bbd5554e43f",
        fingerprint="d0e3491557247a7ac6275a9ee3c394b20fa77ee9348f4503e7940a6016e071bc",
        name="acorn",
        licence="Apache-2.0",
        origin="oakpoint, networks/shipped/acorn.md",
    ),
)


def read_state(path: Path) -> State:
    """Read a state dict (``.pth``, ``.pt`` through torch's restricted unpickler; ``.safetensors``) as float32 tensors.

    A checkpoint that keeps its state dict under ``state_dict`` or ``model`` is opened there.

    Raises:
        WeightsError: no such file; a pickle that would run code; truncated or foreign content; a tensor that is not of
            floating point or not finite.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: expected a state dict (tensor by name), got {_kind(content)}")
    return {str(name): _checked(path, str(name), tensor) for name, tensor in content.items()}


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            raise WeightsError(
                f"{path}: holds {found[1].rstrip('.')}, which is not a tensor and could run code; it was not loaded. "
                "Save the state dict alone: torch.save(model.state_dict(), …)"
            ) from error
        raise WeightsError(f"{path}: not a weights file, or a damaged one") from error
    except Exception as error:
        raise WeightsError(
            f"{path}: truncated or damaged, or no weights file at all ({type(error).__name__})"
        ) from error


def _read_safetensors(path: Path) -> object:
    with importing("safetensors", extra="torch"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: truncated or damaged, or no safetensors file ({error})") from error


def _checked(path: Path, name: str, tensor: object) -> torch.Tensor:
    if not isinstance(tensor, torch.Tensor):
        raise WeightsError(f"{path}: {name}: expected a tensor, got {_kind(tensor)}")
    if not tensor.is_floating_point():
        if tensor.numel() == 1:  # batch-norm's count of batches
            return tensor
        raise WeightsError(f"{path}: {name}: expected floating point, got {tensor.dtype}")
    try:
        tensor = tensor.float()
        finite = bool(torch.isfinite(tensor).all())
    except (RuntimeError, NotImplementedError) as error:
        raise WeightsError(
            f"{path}: {name}: expected a plain dense tensor, got {tensor.layout} {tensor.device}"
        ) from error
    if not finite:
        raise WeightsError(f"{path}: {name}: holds values that are not finite")
    return tensor


def _kind(value: object) -> str:
    return "an empty dict" if value == {} else type(value).__name__


def load_into(module: nn.Module, state: State, path: Path) -> None:
    """Put a state dict into a network; every tensor of both must match by name and shape.

    Raises:
        WeightsError: naming the first tensor that is missing, left over or misshapen, with what was expected and got.
    """
    expected = module.state_dict()
    for name, tensor in expected.items():
        if name not in state:
            raise WeightsError(
                f"{path}: tensor {name!r} is missing: expected {len(expected)} tensors of {type(module).__name__}, "
                f"got {len(state)}"
            )
        if state[name].shape != tensor.shape:
            raise WeightsError(
                f"{path}: tensor {name!r}: expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)}"
            )
    if extra := sorted(set(state) - set(expected)):
        raise WeightsError(
            f"{path}: tensor {extra[0]!r} does not belong to {type(module).__name__} ({len(extra)} such)"
        )
    module.load_state_dict(state)


def fingerprint(state: State) -> str:
    """SHA-256 of the largest tensor's name, shape and values rounded to FP16.

    The same for FP32 and FP16 copies of the weights, and for copies with the input scale folded into the first layer.
    """
    name = max(sorted(state), key=lambda key: state[key].numel())
    array = state[name].detach().cpu().numpy()
    return hashlib.sha256(f"{name}{array.shape}".encode() + array.astype("<f2").tobytes()).hexdigest()


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


def header_of(path: Path) -> dict[str, str]:
    """The facts in the header of a safetensors file; none in a file of another kind.

    Raises:
        MissingExtraError: safetensors is not installed.
        WeightsError: a damaged file.
    """
    if path.suffix != ".safetensors":
        return {}
    with importing("safetensors", extra="torch"):
        from safetensors import SafetensorError, safe_open
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: truncated or damaged, or no safetensors file ({error})") from error


def record_of(path: Path, state: State) -> WeightsRecord:
    """The manifest's record of a weights file.

    Known files are recognised by hash, copies of them by their values; what learnt from weights with a restricting
    licence says so in its header.
    """
    sha256, header = sha256_of_file(path), header_of(path)
    known = _recognised(sha256, state)
    name, licence, origin = (known.name, known.licence, known.origin) if known else ("unknown", "unknown", "unknown")
    if header.get(RESTRICTION):
        licence = header.get(LICENCE) or licence
    return WeightsRecord(file=path.name, sha256=sha256, name=name, licence=licence, origin=origin)


def restriction_of(path: Path, state: State) -> str:
    """Why what learns from a weights file must not ship freely; empty where nothing is known against it."""
    known = _recognised(sha256_of_file(path), state)
    return header_of(path).get(RESTRICTION) or (known.restriction if known else "")


def check_licence(path: Path, state: State, role: str, *, accepted: bool) -> None:
    """Refuse weights that must not be learnt from freely, unless their licence is accepted.

    Args:
        path: of the weights.
        state: their tensors.
        role: what they were to be.
        accepted: take them on nevertheless.

    Raises:
        UsageError: restricted, and not accepted.
    """
    restriction = restriction_of(path, state)
    if restriction and not accepted:
        raise UsageError(f"{path}: not taken as {role}: {restriction}; take it on with --accept-licence")


def _recognised(sha256: str, state: State) -> KnownWeights | None:
    values = fingerprint(state)
    return next((known for known in KNOWN_WEIGHTS if known.sha256 == sha256 or known.fingerprint == values), None)


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
