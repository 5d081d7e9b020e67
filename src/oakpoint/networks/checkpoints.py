"""Files that people keep weights in: read without running code, and told apart when they hold something else."""

from __future__ import annotations

import json
import logging
import pickle
import re
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from oakpoint.errors import UsageError, WeightsError
from oakpoint.networks.header import beginning_of, is_safetensors
from oakpoint.runtimes import importing

STATE_KEYS = (
    "state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights",
    "ema", "ema_state_dict", "model_ema", "state_dict_ema",
)  # fmt: skip
"""Where trainers keep the state dict of the network itself, first choice first: a file may also hold its average,
another network's, an optimiser's. What was taken is said, with what was not."""

SAVE = "save its state dict alone: torch.save(model.state_dict(), …)"

_EXAMPLE = "torch.zeros(1, 1, 200, 320)"
"""An input, in the lines that export a program: users put their own shape there."""

_log = logging.getLogger(__name__)

_MAGIC = {
    b"\x89HDF": "an HDF5 file, such as Keras writes",
    b"\x93NUMPY": "a NumPy array",
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a compressed archive; unpack it first",
    b"\xfd7zXZ": "a compressed archive; unpack it first",
    b"7z\xbc\xaf": "a compressed archive; unpack it first",
    b"Rar!": "a compressed archive; unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS to the weights, not the weights; fetch them: git lfs pull",
    b"<!DOCTYPE": "a web page; download the file itself",
    b"<!doctype": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
}
"""How files that are no weights begin, and what they are."""


def read_state_dict(path: Path) -> dict[str, Any]:
    """The state dict in a file, whatever a checkpoint holds beside it. Its tensors are not looked at yet.

    Raises:
        WeightsError: no such file; a pickle that would run code; truncated or foreign content; no state dict, or
            several of which none is known to be the network's.
    """
    if not path.is_file():
        what = "a folder; expected a weights file" if path.is_dir() else "no such weights file"
        raise WeightsError(f"{path}: {what}")
    if is_safetensors(path):
        content: object = _read_safetensors(path)
    else:
        _refuse_foreign(path)
        content = _read_pickle(path)
    return _state_within(path, content)


def refuse_as_network(path: Path) -> None:
    """Say what a file is that was given where a network is expected: a program, a pickled module, mere weights.

    Raises:
        WeightsError: it is one of them, or a damaged one.
        UsageError: weights, which need their network named.
    """
    read_state_dict(path)
    raise UsageError(
        f"{path}: weights alone, without their network; name that, and give this file as its weights: "
        f"package.module:Class --weights {path}"
    )


def kind_of(value: object) -> str:
    """What a value is, for a message."""
    return "an empty dict" if value == {} else type(value).__name__


def _refuse_foreign(path: Path) -> None:
    """Say what a file is that is known and holds no state dict.

    Raises:
        WeightsError: it is one.
    """
    if path.suffix == ".onnx":
        raise WeightsError(f"{path}: an ONNX file, which holds network and weights; give it in place of a network")
    start = beginning_of(path, 64).lstrip()
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise WeightsError(f"{path}: expected a weights file, got {what}")
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch has its own word for it
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner and any(name.startswith("code/") for name in inner):
        raise WeightsError(
            f"{path}: a TorchScript archive, which is a program and no weights. Make an ONNX file of it, with the "
            f"shape of your input, and give that in place of a network: {_script_to_onnx(path)}. Or, where its class "
            f"is at hand, save its weights alone: torch.save(torch.jit.load({path.name!r}).state_dict(), 'weights.pth')"
        )
    if any("exported_program" in name or name == "archive_format" for name in (*names, *inner)):
        raise WeightsError(f"{path}: a program exported by torch.export, not weights; {SAVE}")
    if names and all(name.endswith(".npy") for name in names):
        raise WeightsError(
            f"{path}: NumPy arrays (.npz), not tensors; save them as such: "
            "torch.save({name: torch.from_numpy(array) for name, array in numpy.load(…).items()}, 'weights.pth')"
        )


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            raise WeightsError(f"{path}: {_refused(path, found[1].rstrip('.'))}") from error
        raise WeightsError(f"{path}: not a weights file, or a damaged one") from error
    except Exception as error:
        raise WeightsError(
            f"{path}: truncated or damaged, or no weights file at all ({type(error).__name__})"
        ) from error


def _script_to_onnx(path: Path) -> str:
    """The command that makes an ONNX file of a TorchScript archive, which torch's newer exporter does not take."""
    return _to_onnx(path, "torch.jit.load", 'map_location="cpu"', "dynamo=False")


def _module_to_onnx(path: Path) -> str:
    """The command that makes an ONNX file of a pickled module, in a folder where its class is found."""
    return _to_onnx(path, "torch.load", 'map_location="cpu", weights_only=False', "dynamo=True, external_data=False")


def _to_onnx(path: Path, load: str, load_options: str, options: str) -> str:
    source, target = json.dumps(path.name), json.dumps(f"{path.stem}.onnx")  # double quotes, as in the options
    code = (
        f"import torch; torch.onnx.export({load}({source}, {load_options}).eval(), ({_EXAMPLE},), {target}, {options})"
    )
    return f"python -c {shlex.quote(code)}"


def _refused(path: Path, name: str) -> str:
    """Why something that a pickle holds was not loaded, and what to save instead."""
    module, _, last = name.rpartition(".")
    if module.partition(".")[0] == "numpy":
        return (
            f"holds NumPy's arrays or numbers ({name}), which are loaded by running code; it was not loaded. Save "
            "tensors alone: torch.save({name: torch.as_tensor(value) for name, value in weights.items()}, …)"
        )
    refused = f"holds {name}, which is not a tensor and could run code; it was not loaded"
    if last[:1].isupper():
        return (
            f"{refused}. A whole object was saved, such as a network by torch.save(model); {SAVE}. Where you trust the "
            f"file, make an ONNX of it, with the shape of your input: {_module_to_onnx(path)}"
        )
    return f"{refused}. Save the state dict alone: torch.save(model.state_dict(), …)"


def _read_safetensors(path: Path) -> object:
    with importing("safetensors", extra="torch"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: truncated or damaged, or no safetensors file ({error})") from error


def _state_within(path: Path, content: object) -> dict[str, Any]:
    """The state dict that ``content`` is or holds; what was unpacked is logged."""
    keys: list[str] = []
    left: list[str] = []
    while isinstance(content, dict) and (inner := _states_in(content)):
        key = next((key for key in STATE_KEYS if key in inner), None)
        if key is None and len(inner) > 1:
            raise WeightsError(
                f"{path}: holds several state dicts ({', '.join(sorted(inner))}); save the network's alone: "
                f"torch.save(torch.load({path.name!r}, weights_only=True)"
                f"{''.join(f'[{key!r}]' for key in (*keys, min(inner)))}, …)"
            )
        keys.append(key or next(iter(inner)))
        left += [other for other in inner if other != keys[-1]]
        content = inner[keys[-1]]
    if keys:
        beside = f"; not taken: {', '.join(left)}" if left else ""
        _log.warning("%s: state dict taken from within a checkpoint: %s%s", path, " → ".join(keys), beside)
    if isinstance(content, (list, tuple)) and content and all(isinstance(item, Mapping) for item in content):
        raise WeightsError(
            f"{path}: expected a state dict (tensor by name), got {kind_of(content)} of {len(content)}; save one of "
            f"them alone: torch.save(torch.load({path.name!r}, weights_only=True)[0], …)"
        )
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path}: expected a state dict (tensor by name), got {kind_of(content)}")
    return {str(name): value for name, value in content.items()}


def _states_in(content: dict[Any, Any]) -> dict[str, Any]:
    """What in a dict may hold a state dict; nothing in one that is a state dict itself, with a layer's extra state."""
    inner = {str(key): value for key, value in content.items() if _may_hold_state(value)}
    is_state = any(isinstance(value, torch.Tensor) and "." in str(key) for key, value in content.items())
    return {} if is_state and not any(key in STATE_KEYS for key in inner) else inner


def _may_hold_state(value: object) -> bool:
    """Whether a value of a checkpoint is a dict with tensors under names, or has one further in; no optimiser's."""
    if not isinstance(value, dict) or "param_groups" in value:
        return False
    return any(
        isinstance(name, str) and (isinstance(part, torch.Tensor) or _may_hold_state(part))
        for name, part in value.items()
    )
