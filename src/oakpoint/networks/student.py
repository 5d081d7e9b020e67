"""A network as it is trained, and the same as it is shipped.

A network class may offer ``trainable()``, a class method that builds it as it is trained (with batch norms, say), and
``deployed()``, which gives the same function as ``load_network`` builds it. One without them is trained and shipped as
it is. A class attribute ``decode_preset`` names the decode options (``features.types.PRESETS``) that it is made for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from oakpoint.errors import UsageError, first_line
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS
from oakpoint.networks.folding import unfold
from oakpoint.networks.registry import build_network, network_class, own_preset
from oakpoint.networks.tensor_names import fitted
from oakpoint.networks.weights import load_into, read_state

DISTILLED_PRESET = "distilled"
"""Decode options of networks that were trained here and do not name their own."""

PROBE_SIZE = (64, 64)
"""(W, H) in pixels of the image on which a network is tried out."""

DEPLOYED_ERROR = 1e-3
"""How far ``deployed()`` may be from what is trained, of the largest output: rounding of folded batch norms."""


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
    if fitted(shipped, state) is None:
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


def check_deployed(name: str, student: nn.Module) -> None:
    """Refuse a student whose ``deployed()`` is not what ``name`` builds, or computes something else.

    Args:
        name: of the student's class.
        student: not changed.

    Raises:
        UsageError: it could be trained, and nothing of use would come out.
    """
    image = torch.rand(1, 1, *reversed(PROBE_SIZE), generator=torch.Generator().manual_seed(0))
    own = copy.deepcopy(student).cpu().eval()
    try:
        shipped = build_network(name)
        with torch.inference_mode():
            expected = own(image)
            load_into(shipped, deployed(own).state_dict(), Path(name))
            found = shipped.eval()(image)
    except Exception as error:  # whatever the user's own code raises
        raise UsageError(f"{name}: deployed() gives no {name} ({first_line(error)})") from error
    for ours, theirs in zip(expected, found, strict=True):
        if float((ours - theirs).abs().max()) > DEPLOYED_ERROR * max(1.0, float(ours.abs().max())):
            raise UsageError(f"{name}: expected deployed() to compute what is trained, got another function")


def freeze_unused(student: nn.Module, device: torch.device | str) -> None:
    """Take parameters that (semi, desc) do not depend on out of the training; several processes would wait for them."""
    training = student.training
    semi, desc = student.eval()(torch.zeros(1, 1, *reversed(PROBE_SIZE), device=device))
    (semi.sum() + desc.sum()).backward()
    for parameter in student.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    student.train(training)


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
