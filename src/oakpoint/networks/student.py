"""A network as it is trained, and the same as it is shipped.

A network class may offer ``trainable()``, a class method that builds it as it is trained (with batch norms, say), and
``deployed()``, which gives the same function as ``load_network`` builds it. One without them is trained and shipped as
it is. A class attribute ``decode_preset`` names the decode options (``features.types.PRESETS``) that it is made for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from oakpoint.errors import UsageError, first_line
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS
from oakpoint.networks.folding import unfold
from oakpoint.networks.registry import build_network, network_class, own_preset
from oakpoint.networks.weights import load_into, read_state

DISTILLED_PRESET = "distilled"
"""Decode options of networks that were trained here and do not name their own."""

PROBE_SIZE = (64, 64)
"""(W, H) in pixels of the image on which a network is tried out."""


def build_student(name: str, *, seed: int, init: Path | None = None) -> nn.Module:
    """A network to be trained, with weights of a seed or of a file.

    Args:
        name: of the registry, or ``package.module:Class``.
        seed: of the random weights.
        init: weights to start from, of the network as it is trained or as it is shipped. Batch norms that were folded
            in are taken out again where the classes allow it (see ``folding.unfold``); what they measure, the first
            images have to show (``folding.settle_norms``).

    Raises:
        UsageError: an unknown name, or a class that cannot be built.
        WeightsError: weights of another network.
    """
    torch.manual_seed(seed)
    kind = network_class(name)
    student: nn.Module = kind.trainable() if hasattr(kind, "trainable") else build_network(name)
    if init is None:
        return student
    state = read_state(init)
    shipped = build_network(name)
    if set(state) != set(shipped.state_dict()):
        load_into(student, state, init)
        return student
    load_into(shipped, state, init)
    return student if unfold(student, shipped) else shipped


def deployed(student: nn.Module) -> nn.Module:
    """The trained network as ``load_network`` builds it, in evaluation mode."""
    make: Callable[[], nn.Module] | None = getattr(student, "deployed", None)
    return student.eval() if make is None else make()


def trained_preset(name: str) -> str:
    """Name of the decode options of a network that was trained here.

    Raises:
        UsageError: an unknown network, or a class that names unknown options.
    """
    return own_preset(network_class(name)) or DISTILLED_PRESET


def descriptor_dim_of(name: str, network: nn.Module, device: torch.device | str = "cpu") -> int:
    """Width D of the descriptors of a network with the outputs (semi, desc), found by running it on a small image.

    Raises:
        UsageError: it cannot be run, or puts out something else.
    """
    columns, rows = (side // CELL_PX for side in PROBE_SIZE)
    training = network.training
    try:
        with torch.inference_mode():
            outputs = network.eval()(torch.zeros(1, 1, *reversed(PROBE_SIZE), device=device))
        shapes = [tuple(output.shape) for output in outputs]
    except Exception as error:  # whatever the user's own code raises
        raise UsageError(f"{name}: cannot be run ({type(error).__name__}: {first_line(error)})") from error
    finally:
        network.train(training)
    if len(shapes) != 2 or shapes[0] != (1, LOGIT_CHANNELS, rows, columns) or shapes[1][2:] != (rows, columns):
        raise UsageError(
            f"{name}: of an image of {PROBE_SIZE[0]}×{PROBE_SIZE[1]} px expected semi "
            f"(1, {LOGIT_CHANNELS}, {rows}, {columns}) and desc (1, D, {rows}, {columns}), got "
            f"{' and '.join(map(str, shapes)) or 'nothing'}"
        )
    return int(shapes[1][1])
