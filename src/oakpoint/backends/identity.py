"""What tells a model that runs from every other one: the files that a runtime reads, or a network's code and weights.

Results that are kept (features files, the cache of evaluations) are bound to it. It goes by content, so that a copy
elsewhere is the same model, and by all of the content: an ONNX file may keep its weights in other files, and an IR
always does.
"""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from oakpoint.errors import BackendError, OakpointError, first_line
from oakpoint.external_data import external_files
from oakpoint.files import sha256_of_file
from oakpoint.networks.arguments import arguments_text
from oakpoint.networks.registry import NETWORKS, LoadedNetwork

_LIBRARIES = ("torch", "torchvision")
"""Packages whose layers are taken to stay what they are."""


def sha256_of_model(path: Path) -> str:
    """SHA-256 of a model in all its files: that of the file itself where it is the only one.

    Args:
        path: ``.onnx`` (with its external data), ``.xml`` (with its ``.bin``) or ``.blob``.

    Raises:
        BackendError: a file is missing or cannot be read, no ONNX, or external data outside the model's folder.
    """
    try:
        hashes = [sha256_of_file(file) for file in (path, *companions(path))]
    except OSError as error:
        raise BackendError(f"{error.filename}: cannot be read ({error.strerror}); {path} needs it") from error
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def companions(path: Path) -> tuple[Path, ...]:
    """The further files that hold a part of a model, by name: an ONNX's external data, an IR's ``.bin``.

    Raises:
        BackendError: no ONNX, or one whose external data lies outside its folder.
    """
    if path.suffix == ".xml":
        return (path.with_suffix(".bin"),)
    if path.suffix != ".onnx":
        return ()
    try:
        return external_files(path)
    except OSError:
        raise
    except OakpointError as error:
        raise BackendError(str(error)) from error
    except Exception as error:  # protobuf's, of many kinds
        raise BackendError(f"{path}: not a valid ONNX model ({first_line(error)})") from error


def identity_of_network(network: LoadedNetwork, onnx: Path | None) -> str:
    """What tells a network by name: name and weights; of a class of the user's own also what its code makes.

    Args:
        network: with its weights.
        onnx: what it was exported to, where that is what runs: it says all that the code makes. Without it, the source
            files of the network and of its layers are taken; what they import besides is not.
    """
    known = described_network(network)
    if network.name in NETWORKS:
        return known
    return f"{known} {'graph ' + _sha256_of_graph(onnx) if onnx else 'code ' + _sha256_of_code(network)}"


def described_network(network: LoadedNetwork) -> str:
    """Name, weights and arguments of a network."""
    record = network.weights
    parts = (network.name, record.sha256 or f"seed {record.seed}", arguments_text(network.arguments))
    return " ".join(part for part in parts if part)


def described_shipped(name: str, weights: Path) -> str:
    """The same of a network with the weights that come with oakpoint, which need not be loaded for it."""
    return f"{name} {sha256_of_file(weights)}"


def _sha256_of_graph(path: Path) -> str:
    """SHA-256 of an ONNX without the name and version of its maker."""
    import onnx

    model = onnx.load(path)
    for field in ("producer_name", "producer_version"):
        model.ClearField(field)
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def _sha256_of_code(network: LoadedNetwork) -> str:
    files = set()
    for kind in {base for part in network.module.modules() for base in type(part).__mro__}:
        if kind.__module__.partition(".")[0] in (*_LIBRARIES, "builtins"):
            continue
        try:
            files.add(Path(inspect.getfile(kind)))
        except (OSError, TypeError):  # made at run time: there is no file
            continue
    hashes = sorted(sha256_of_file(file) for file in files if file.is_file())
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()
