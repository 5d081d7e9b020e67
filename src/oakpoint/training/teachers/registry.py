"""Teachers by name: families with state dicts of their own, our networks, and whatever class the user has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard, final

import torch
from torch import nn

from oakpoint.bundle.records import WeightsRecord
from oakpoint.errors import UsageError
from oakpoint.features.types import CELL_PX
from oakpoint.networks.licences import (
    arrays_of,
    check_licence,
    check_restriction,
    recognised_record,
    restriction_of_values,
)
from oakpoint.networks.recognition import Array
from oakpoint.networks.registry import NETWORKS, instance_of, load_network, shipped_weights
from oakpoint.networks.student import descriptor_dim_of
from oakpoint.networks.weights import load_into, read_state
from oakpoint.training.teachers.features import fitted_size, resized
from oakpoint.training.teachers.protocol import Teacher, TeacherOutputs

Outputs = tuple[torch.Tensor, torch.Tensor]
Adapt = Callable[[Outputs], TeacherOutputs]

ROLE = "a teacher"

_NAME_DIGITS = 12
"""Digits of a weights file's SHA-256 in a teacher's name: enough to tell any two files apart."""


@final
class NetworkTeacher:
    """A network behind the protocol, for images of any size from one multiple on.

    Attributes:
        name: the network's, its weights file's and the first digits of that file's SHA-256.
        multiple: images of other sizes are scaled down to it, and scores scaled back.
        weights: which weights it has, with their licence.
    """

    def __init__(self, name: str, module: nn.Module, adapt: Adapt, *, multiple: int, weights: WeightsRecord) -> None:
        self.name = f"{name} {weights.file} {(weights.sha256 or '')[:_NAME_DIGITS]}"
        self.multiple = multiple
        self.weights = weights
        self._module = module.eval().requires_grad_(False)
        self._adapt = adapt

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        """See ``Teacher``.

        Raises:
            ImageError: smaller than one multiple.
        """
        return _of_any_size(lambda fitted: self._adapt(self._module(fitted)), images, self.multiple)


@final
class OwnTeacher:
    """A teacher of the user's, for images of any size from one multiple on; see ``NetworkTeacher``.

    Attributes:
        name: as it calls itself.
        multiple: see ``Teacher``.
        weights: which weights it has, as far as their values tell.
        restriction: why what learns from it must not ship freely, as far as its weights' values tell.
    """

    def __init__(self, teacher: Teacher, restriction: str) -> None:
        self.name = teacher.name
        self.multiple = teacher.multiple
        claimed = WeightsRecord(
            file=None, sha256=None, name="unknown", licence="unknown", origin="a class of the user's"
        )
        record = recognised_record(claimed, _arrays_within(teacher))
        self.weights = replace(record, name=teacher.name) if record.name == claimed.name else record
        self.restriction = restriction
        self._teacher = teacher

    def __call__(self, images: torch.Tensor) -> TeacherOutputs:
        """See ``Teacher``. What is no ``TeacherOutputs`` is given back for ``probe`` to refuse.

        Raises:
            ImageError: smaller than one multiple.
        """
        return _of_any_size(self._teacher, images, self.multiple)


def _of_any_size(ask: Callable[[torch.Tensor], TeacherOutputs], images: torch.Tensor, multiple: int) -> TeacherOutputs:
    """Images scaled down to a multiple, scores scaled back, all in f32 on the images' device."""
    size = (images.shape[3], images.shape[2])
    fitted = fitted_size(size, multiple)
    outputs = ask(resized(images, fitted))
    if not isinstance(outputs, TeacherOutputs) or outputs.scores.shape[2:] != (fitted[1], fitted[0]):
        return outputs
    scores, descriptors = (part.to(images) for part in (outputs.scores, outputs.descriptors))
    return TeacherOutputs(resized(scores, size), descriptors)


def open_teacher(
    name: str, weights: Path | None, *, device: torch.device | str = "cpu", accept_licence: bool = False
) -> Teacher:
    """A teacher by name, ready to be called.

    Args:
        name: ``edgepoint2``, ``alike``, a network of ours (``acorn``, ``superpoint``), or ``package.module:Class``: a
            torch module with the outputs (semi, desc), or a class without arguments that is a ``Teacher`` itself.
        weights: its weights file; a network that comes with weights, and a class that is a ``Teacher`` itself, may do
            without.
        device: where it computes; a class that is a ``Teacher`` but no torch module sees to that itself.
        accept_licence: take weights whose licence stands against shipping what learns from them. Without it they are
            refused: that is decided before hours of training, not found out after. The licence stays in the record.

    Raises:
        UsageError: an unknown name, no weights, weights with a restricting licence, or a class that cannot teach.
        WeightsError: weights that cannot be read safely or are another network's.
    """
    device = torch.device(device)
    if name not in NETWORKS:
        if ":" not in name:
            raise UsageError(f"teacher {name!r}: expected one of {', '.join(NETWORKS)}, or package.module:Class")
        made = instance_of(name)
        if _is_teacher(made):
            return _own_teacher(name, made, weights, device, accept_licence=accept_licence)
    if weights is None and shipped_weights(name) is None:
        raise UsageError(f"teacher {name}: weights are needed: --teacher-weights FILE")
    if weights is not None:
        check_licence(weights, read_state(weights), ROLE, accepted=accept_licence)
    network = load_network(name, weights)
    module = network.module.to(device)
    if network.entry is not None and network.entry.scores == "pixel_logits":
        multiple = network.entry.multiple
        return NetworkTeacher(name, module, teacher_outputs_from_logits, multiple=multiple, weights=network.weights)
    descriptor_dim_of(f"teacher {name}", module, device)
    return NetworkTeacher(name, module, teacher_outputs_from_dense, multiple=CELL_PX, weights=network.weights)


def weights_of(teacher: Teacher) -> WeightsRecord:
    """Which weights a teacher that ``open_teacher`` gave has, for the record of what learns from it."""
    assert isinstance(teacher, (NetworkTeacher, OwnTeacher))
    return teacher.weights


def restriction_of_teacher(teacher: Teacher) -> str:
    """Why what learns from a class of the user's must not ship freely; empty where its weights' values say nothing."""
    return teacher.restriction if isinstance(teacher, OwnTeacher) else ""


def teacher_outputs_from_logits(outputs: Outputs) -> TeacherOutputs:
    """From score logits for every pixel, (N, 1, H, W), and descriptors."""
    scores, descriptors = outputs
    return TeacherOutputs(torch.sigmoid(scores), descriptors)


def teacher_outputs_from_dense(outputs: Outputs) -> TeacherOutputs:
    """From (semi, desc): softmax over a cell's 65 logits, its 64 pixels laid out, as ``heatmap_from_logits`` does."""
    semi, desc = outputs
    cells = torch.softmax(semi.float(), dim=1)[:, :-1]
    return TeacherOutputs(nn.functional.pixel_shuffle(cells, CELL_PX), desc)


def _own_teacher(
    name: str, teacher: Teacher, weights: Path | None, device: torch.device, *, accept_licence: bool
) -> Teacher:
    if isinstance(teacher, nn.Module):
        if weights is not None:
            state = read_state(weights)
            check_licence(weights, state, ROLE, accepted=accept_licence)
            load_into(teacher, state, weights)
        teacher.to(device).eval().requires_grad_(False)
    elif weights is not None:
        raise UsageError(
            f"teacher {name}: expected no weights, which only a torch module takes, got {weights}; leave out "
            "--teacher-weights"
        )
    restriction = restriction_of_values(_arrays_within(teacher))
    check_restriction(f"teacher {name}", restriction, ROLE, accepted=accept_licence)
    return OwnTeacher(teacher, restriction)


def _arrays_within(teacher: object) -> list[Array]:
    """The tensors of a teacher that is a torch module, or of the modules that it keeps as attributes."""
    kept = [teacher] if isinstance(teacher, nn.Module) else list(getattr(teacher, "__dict__", {}).values())
    return [array for part in kept if isinstance(part, nn.Module) for array in arrays_of(part.state_dict())]


def _is_teacher(made: object) -> TypeGuard[Teacher]:
    multiple = getattr(made, "multiple", None)
    return isinstance(getattr(made, "name", None), str) and isinstance(multiple, int) and callable(made)
