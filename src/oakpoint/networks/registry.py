"""Networks by name. An unknown name raises and lists the known ones; a user's own is named ``package.module:Class``."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import UsageError, WeightsError
from oakpoint.features.types import PRESETS
from oakpoint.networks.arguments import bound
from oakpoint.networks.foreign_output import logging_output_of
from oakpoint.networks.header import DECODE_PRESET, header_of
from oakpoint.networks.licences import record_of
from oakpoint.runtimes import importing

if TYPE_CHECKING:
    from torch import nn

    from oakpoint.networks.tensor_names import State

_log = logging.getLogger(__name__)

SHIPPED_FOLDER = Path(__file__).parent / "shipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEntry:
    """A network that is known by name: one image in, scores and descriptors out.

    Attributes:
        location: of its class. A class method ``for_state`` makes the member of a family that a state dict belongs to.
        decode_preset: that it was published with; its weights' header and its class may name another.
        weights_hint: where its weights are had.
        shipped: file of the weights that come with oakpoint, in ``networks/shipped``.
        exported: file of their ONNX there, as ``scripts/export_shipped.py`` writes it: with it, no torch is needed.
        channels: of its input (N, C, H, W).
        colour: of these channels.
        mean: what is subtracted from pixels 0–255, one for each channel or for all.
        scale: what the difference is multiplied with.
        multiple: of the image's width and height.
        outputs: names of the score map and of the descriptors (N, D, h, w), in the order in which it returns them.
        scores: what the score map is: ``cell_logits``, (N, 65, H/8, W/8), one for each pixel of a cell and the dustbin
            last, softmax makes probabilities of them; ``pixel_logits``, (N, 1, H, W), the sigmoid does.
    """

    location: str
    decode_preset: str
    weights_hint: str = ""
    shipped: str = ""
    exported: str = ""
    channels: int = 1
    colour: Literal["grey", "bgr", "rgb"] = "grey"
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1 / 255,)
    multiple: int = 8
    outputs: tuple[str, str] = ("semi", "desc")
    scores: Literal["cell_logits", "pixel_logits"] = "cell_logits"


NETWORKS = {
    "acorn": NetworkEntry(
        location="oakpoint.networks.acorn:Acorn",
        decode_preset="acorn",
        shipped="acorn.safetensors",
        exported="acorn.onnx",
    ),
    "superpoint": NetworkEntry(
        location="oakpoint.networks.superpoint:SuperPoint",
        decode_preset="superpoint",
        weights_hint=". SuperPoint's official ones are superpoint_v1.pth from "
        "github.com/magicleap/SuperPointPretrainedNetwork (non-commercial)",
    ),
    "edgepoint2": NetworkEntry(
        location="oakpoint.networks.edgepoint2:EdgePoint2",
        decode_preset="edgepoint2",
        weights_hint=". Its authors' are in github.com/HITCSC/EdgePoint2 (MIT); they tell the variant, T32 to E64",
        multiple=32,
        outputs=("scores", "descriptors"),
        scores="pixel_logits",
    ),
    "alike": NetworkEntry(
        location="oakpoint.networks.alike:Alike",
        decode_preset="alike",
        weights_hint=". Its authors' are in github.com/Shiaoming/ALIKE (BSD-3); they tell the variant, t to l",
        channels=3,
        colour="rgb",
        multiple=1,
        outputs=("scores", "descriptors"),
        scores="pixel_logits",
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
        arguments: what its class or factory was given.
    """

    name: str
    module: nn.Module
    weights: WeightsRecord
    decode_preset: str
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def entry(self) -> NetworkEntry | None:
        """What is known of it by its name; None for a class of the user's."""
        return NETWORKS.get(self.name)


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


def shipped_onnx(name: str) -> Path | None:
    """The ONNX of the weights that come with oakpoint, which holds for every image size; None where there is none."""
    entry = NETWORKS.get(name)
    return SHIPPED_FOLDER / entry.exported if entry and entry.exported else None


def load_network(
    name: str, weights: Path | None, *, seed: int | None = None, arguments: Mapping[str, object] | None = None
) -> LoadedNetwork:
    """Build a network and give it weights: from a file, of a seed, those that come with oakpoint, or its class's own.

    A class or function of the user's brings its own weights, if what it makes is the same bit for bit each time it is
    called, whatever torch draws at random meanwhile. That they were taken is logged; where tensors differ from one call
    to the next, nothing has set them, and weights are asked for.

    Args:
        name: of ``NETWORKS``, or ``package.module:Class``, also for a function that makes a module.
        weights: the weights file.
        seed: of random weights.
        arguments: for the class or function, by name; see ``arguments.parse_arguments``.

    Raises:
        UsageError: an unknown name; arguments that it does not take, or needs and were not given; weights and a seed,
            or neither for a network that comes without weights.
        MissingExtraError: torch is not installed.
        BackendError: torch cannot be imported.
        WeightsError: the weights do not fit the network, or cannot be read safely.
    """
    given = dict(arguments or {})
    location = _location(name)
    if weights is not None and seed is not None:
        raise UsageError(f"{name}: expected a weights file (--weights) or a random initialisation (--random), got both")
    with importing("torch", extra="torch"):
        from oakpoint.networks.weights import initialise_randomly, load_into, read_state
    entry = NETWORKS.get(name) or NetworkEntry(location=location, decode_preset="superpoint")
    weights = weights or (shipped_weights(name) if seed is None else None)
    if weights is not None:
        state = read_state(weights)
        module = _built_for(name, state, given)
        with logging_output_of(name):
            load_into(module, state, weights)
        record = record_of(weights, state)
    elif seed is not None:
        module = build_network(name, given)
        known = {"finds": "its keypoints mean"} if name in NETWORKS else {}
        record = initialise_randomly(module, seed, **known)
    else:
        if name in NETWORKS:
            raise UsageError(f"{name}: weights are needed: --weights FILE{entry.weights_hint}")
        module, record = _with_its_own_weights(name, given)
    preset = own_preset(module) or entry.decode_preset
    if weights is not None:
        preset = _known_preset(header_of(weights).get(DECODE_PRESET), f"{weights}: {DECODE_PRESET}") or preset
    return LoadedNetwork(name, module.eval(), record, preset, given)


def _built_for(name: str, state: State, arguments: Mapping[str, object]) -> nn.Module:
    """A network that a state dict fits: of a family, the member that it belongs to."""
    from oakpoint.networks.tensor_names import under_possible_names

    if name in NETWORKS and not arguments and (for_state := getattr(network_class(name), "for_state", None)):
        for named in under_possible_names(state):
            try:
                module: nn.Module = for_state(named)
            except (KeyError, IndexError, ValueError, RuntimeError):
                continue  # not under these names, or not at all, which loading says in detail
            return module
    return build_network(name, arguments)


def _with_its_own_weights(name: str, arguments: Mapping[str, object]) -> tuple[nn.Module, WeightsRecord]:
    """A network whose class sets its weights itself, and their record; see ``load_network``."""
    import torch

    from oakpoint.networks.weights import own_record, unlike

    made = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made.append(build_network(name, arguments))
    if drawn := unlike(made[0], made[1]):
        raise UsageError(
            f"{name}: weights are needed: --weights FILE, or --random for random ones; its class brings none of its "
            f"own: each time it is built, other values stand in {drawn}"
        )
    record = own_record(name, made[0])
    _log.warning("%s: no weights were given, and its class sets them itself (sha256 %s)", name, record.sha256)
    return made[0], record


def reload_network(
    name: str, record: WeightsRecord, weights: Path | None, *, arguments: Mapping[str, object] | None = None
) -> LoadedNetwork:
    """Build the network of a manifest again, from its weights file, its seed, or with the weights that its class sets.

    Raises:
        WeightsError: the file is another one than the manifest's, or the class sets other weights than it did.
        UsageError: the weights file is needed and was not given.
    """
    if record.seed is not None:
        return load_network(name, None, seed=record.seed, arguments=arguments)
    if brings_own(record) and weights is not None:
        raise UsageError(f"{name}: its class brings the bundle's weights; leave out --weights {weights}")
    network = load_network(name, weights, arguments=arguments)
    if network.weights.sha256 != record.sha256 and brings_own(record):
        raise WeightsError(
            f"{name}: expected the bundle's weights from its class (sha256 {record.sha256}), got "
            f"{network.weights.sha256}; its code has changed: convert it anew"
        )
    if network.weights.sha256 != record.sha256:
        raise WeightsError(
            f"{weights}: expected the bundle's weights ({record.file}, sha256 {record.sha256}), got "
            f"{network.weights.sha256}; give that file with --weights, or convert this one"
        )
    return network


def needs_weights_file(name: str, record: WeightsRecord) -> bool:
    """Whether a manifest's network needs its weights file: no seed, class or package has what it was made with."""
    return record.seed is None and not brings_own(record) and shipped_weights(name) is None


def brings_own(record: WeightsRecord) -> bool:
    """Whether weights came from the network's class itself, not from a file or a seed."""
    return record.file is None and record.seed is None and record.sha256 is not None


def _location(name: str) -> str:
    """Where the class of a network is.

    Raises:
        UsageError: no network's name.
        WeightsError: a file that is no network, but a program or weights.
    """
    return NETWORKS[name].location if name in NETWORKS else _checked_location(name)


def _checked_location(name: str) -> str:
    module, _, attribute = name.partition(":")
    if not module or not attribute.isidentifier():
        if Path(name).is_file():
            with importing("torch", extra="torch"):
                from oakpoint.networks.checkpoints import refuse_as_network
            refuse_as_network(Path(name))
        raise UsageError(
            f"{name!r}: expected one of {', '.join(NETWORKS)}, a .onnx file, a bundle, or package.module:Class"
        )
    return name


def network_class(name: str) -> Any:
    """The class (or factory) of a network by name.

    Raises:
        UsageError: an unknown name, or one that cannot be imported.
    """
    location = _location(name)
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


def instance_of(name: str, arguments: Mapping[str, object] | None = None) -> object:
    """What calling the class or function of a name makes, network or not.

    Raises:
        UsageError: an unknown name, arguments that it does not take or lacks, or a class that cannot be built.
    """
    kind = network_class(name)
    if not callable(kind) or _is_module(kind):
        raise UsageError(
            f"{name}: expected a torch module class, or a function that makes one, got an object of type "
            f"{type(kind).__name__}"
        )
    positional, by_name = bound(name, kind, arguments or {})
    try:
        with logging_output_of(name):
            made: object = kind(*positional, **by_name)
    except Exception as error:  # whatever the user's own code raises
        raise _unbuildable(name, error) from error
    return made


def build_network(name: str, arguments: Mapping[str, object] | None = None) -> nn.Module:
    """A network by name, with the weights that its layers start with.

    Raises:
        UsageError: see ``instance_of``; or layers whose sizes are not known before the first run.
    """
    from torch import nn
    from torch.nn.parameter import is_lazy

    network = instance_of(name, arguments)
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name}: expected a torch.nn.Module, got {type(network).__name__}")
    if lazy := [part for part, tensor in network.named_parameters() if is_lazy(tensor)]:
        raise UsageError(
            f"{name}: the size of {lazy[0]!r} is known after a first run only; expected layers of given size"
        )
    return network


def _is_module(kind: object) -> bool:
    from torch import nn

    return isinstance(kind, nn.Module)


def _unbuildable(name: str, error: Exception) -> UsageError:
    reason = " ".join(str(error).split()) or "no reason given"
    return UsageError(
        f"{name}: cannot be built ({type(error).__name__}: {reason}); expected a torch module class, or a function "
        "that makes one"
    )
