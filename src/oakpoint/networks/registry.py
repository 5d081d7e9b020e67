"""Networks by name. An unknown name raises and lists the known ones; a user's own is named ``package.module:Class``."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import UsageError, WeightsError
from oakpoint.features.types import PRESETS
from oakpoint.networks.foreign_output import logging_output_of
from oakpoint.networks.header import DECODE_PRESET, header_of
from oakpoint.networks.licences import record_of
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    from torch import nn


SHIPPED_FOLDER = Path(__file__).parent / "shipped"


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """A network that is known by name.

    Attributes:
        location: of its class.
        decode_preset: that it was published with; its weights' header and its class may name another.
        weights_hint: where its weights are had.
        shipped: file of the weights that come with oakpoint, in ``networks/shipped``.
    """

    location: str
    decode_preset: str
    weights_hint: str = ""
    shipped: str = ""


NETWORKS = {
    "acorn": NetworkEntry("oakpoint.networks.acorn:Acorn", "acorn", shipped="acorn.safetensors"),
    "superpoint": NetworkEntry(
        "oakpoint.networks.superpoint:SuperPoint",
        "superpoint",
        ". SuperPoint's official ones are superpoint_v1.pth from github.com/magicleap/SuperPointPretrainedNetwork "
        "(non-commercial)",
    ),
}


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A network with weights, ready to run.

    Attributes:
        name: as the user gave it.
        module: the torch module, in evaluation mode.
        weights: the record of its weights.
        decode_preset: name of the decode options that its weights were trained for, or else those that it was published
            with.
    """

    name: str
    module: nn.Module
    weights: WeightsRecord
    decode_preset: str


def batch_norms_of(network: LoadedNetwork) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Factor and shift (C,) of every batch norm of a network."""
    from oakpoint.networks.weights import batch_norms

    return batch_norms(network.module)


def is_network_name(name: str) -> bool:
    """Whether ``name`` is a registered network or looks like ``package.module:Class``."""
    return name in NETWORKS or ":" in name


def shipped_weights(name: str) -> Path | None:
    """The weights file that comes with oakpoint for a network; None where there is none."""
    entry = NETWORKS.get(name)
    return SHIPPED_FOLDER / entry.shipped if entry and entry.shipped else None


def load_network(name: str, weights: Path | None, *, seed: int | None = None) -> LoadedNetwork:
    """Build a network and give it weights: from a file, of a seed, or else those that come with oakpoint.

    Raises:
        UsageError: an unknown name; weights and a seed, or neither for a network that comes without weights.
        MissingExtraError: torch is not installed.
        BackendError: torch cannot be imported.
        WeightsError: the weights do not fit the network, or cannot be read safely.
    """
    entry = NETWORKS.get(name) or NetworkEntry(_checked_location(name), "superpoint")
    with importing("torch", extra="torch"):
        from oakpoint.networks.weights import initialise_randomly, load_into, read_state
    module = build_network(name)
    if seed is None:
        weights = weights or shipped_weights(name)
    if weights is None and seed is None:
        raise UsageError(f"{name}: weights are needed: --weights FILE{entry.weights_hint}")
    if weights is not None and seed is not None:
        raise UsageError(f"{name}: expected a weights file (--weights) or a random initialisation (--random), got both")
    preset = own_preset(module) or entry.decode_preset
    if weights is not None:
        state = read_state(weights)
        with logging_output_of(name):
            load_into(module, state, weights)
        record = record_of(weights, state)
        preset = _known_preset(header_of(weights).get(DECODE_PRESET), f"{weights}: {DECODE_PRESET}") or preset
    else:
        assert seed is not None
        record = initialise_randomly(module, seed)
    return LoadedNetwork(name, module.eval(), record, preset)


def reload_network(name: str, record: WeightsRecord, weights: Path | None) -> LoadedNetwork:
    """Build the network of a manifest again, from its weights file or its seed.

    Raises:
        WeightsError: the file is another one than the manifest's.
        UsageError: the weights file is needed and was not given.
    """
    if record.seed is not None:
        return load_network(name, None, seed=record.seed)
    network = load_network(name, weights)
    if network.weights.sha256 != record.sha256:
        raise WeightsError(
            f"{weights}: expected the bundle's weights ({record.file}, sha256 {record.sha256}), got "
            f"{network.weights.sha256}; give that file with --weights, or convert this one"
        )
    return network


def _checked_location(name: str) -> str:
    module, _, attribute = name.partition(":")
    if not module or not attribute.isidentifier():
        raise UsageError(
            f"{name!r}: expected one of {', '.join(NETWORKS)}, a .onnx file, a bundle, or package.module:Class"
        )
    return name


def network_class(name: str) -> Any:
    """The class (or factory) of a network by name.

    Raises:
        UsageError: an unknown name, or one that cannot be imported.
    """
    entry = NETWORKS.get(name)
    location = entry.location if entry else _checked_location(name)
    module_name, _, attribute = location.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as «python -m» does, so that a network in the user's folder is found
    try:
        with logging_output_of(name):
            return getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # whatever the user's own code raises
        raise _unbuildable(location, error) from error


def own_preset(network: object) -> str | None:
    """Name of the decode options that a network or its class says it is made for; None where it says nothing.

    Raises:
        UsageError: unknown ones.
    """
    kind = network if isinstance(network, type) else type(network)
    return _known_preset(getattr(network, "decode_preset", None), f"{kind.__name__}.decode_preset")


def _known_preset(preset: object, where: str) -> str | None:
    if preset is None or preset in PRESETS:
        return str(preset) if preset else None
    raise UsageError(f"{where}: expected one of {', '.join(PRESETS)}, got {preset!r}")


def instance_of(name: str) -> object:
    """What calling the class of a name without arguments makes, network or not.

    Raises:
        UsageError: an unknown name, or a class that cannot be built.
    """
    kind = network_class(name)
    try:
        with logging_output_of(name):
            made: object = kind()
    except Exception as error:  # whatever the user's own code raises
        raise _unbuildable(name, error) from error
    return made


def build_network(name: str) -> nn.Module:
    """A network by name, with the weights that its layers start with.

    Raises:
        UsageError: an unknown name, or a class that cannot be built.
    """
    from torch import nn

    network = instance_of(name)
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name}: expected a torch.nn.Module, got {type(network).__name__}")
    return network


def _unbuildable(name: str, error: Exception) -> UsageError:
    reason = " ".join(str(error).split()) or "no reason given"
    return UsageError(
        f"{name}: cannot be built ({type(error).__name__}: {reason}); expected a torch module class without arguments"
    )
