"""A file of the user's own under the chain's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from oakpoint.backends.base import Backend
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.backends.renamed import RenamedBackend
from oakpoint.bundle.interface import Interface
from oakpoint.errors import UsageError
from oakpoint.models.base import ModelOptions, Size
from oakpoint.tasks.base import Task
from oakpoint.tasks.registry import recognised_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a model takes and gives under the chain's names, what it means, and what it calls them itself.

    Attributes:
        interface: with the chain's names.
        task: what the outputs mean.
        names: own name → the chain's.
    """

    interface: Interface
    task: Task[Any]
    names: Mapping[str, str]


def taken_as_said(own: Interface, options: ModelOptions, of: str, *, on_device: bool = False) -> Taken:
    """Find out what a file is, from what it takes and gives and from what was said of it.

    Args:
        own: its inputs and outputs under its own names, all shapes known but for an open batch.
        options: what was said of it.
        of: what messages call it.
        on_device: it may have heads of the device.

    Raises:
        UsageError: options that do not fit it.
    """
    if options.outputs is not None:
        own = _chosen(own, options.outputs, of)
    task = recognised_task(own, options.task, on_device=on_device)
    chain_names = names = task.chain_names(own)
    if options.outputs is not None:
        own_names = dict(options.outputs)
        new_names = names or {wanted: wanted for wanted in own_names}
        names = {own_names.get(name, name): new for name, new in new_names.items()}
    return Taken(interface=own.renamed(chain_names), task=task, names=names)


def _chosen(interface: Interface, outputs: Mapping[str, str], of: str) -> Interface:
    """The interface with the outputs that are wanted, under the names that were given."""
    there = {spec.name: spec for spec in interface.outputs}
    for wanted, own in outputs.items():
        if own not in there:
            raise UsageError(f"--output {wanted}={own}: {of} has no such output; it has {', '.join(there)}")
    return replace(interface, outputs=tuple(replace(there[own], name=new) for new, own in outputs.items()))


def open_taken(source: ModelSource, options: RuntimeOptions, taken: Taken, size: Size) -> Backend:
    """Open a file for images of (W, H) pixels, its inputs and outputs under the chain's names.

    Raises:
        BackendError: the runtime cannot open it.
        UsageError: it has another size.
    """
    back = {new: own for own, new in taken.names.items()}
    opened = open_backend(source, options, taken.interface.renamed_inputs(back).at(size).tensors)
    if all(own == new for own, new in taken.names.items()):
        return opened
    inputs = {spec.name: taken.names.get(spec.name, spec.name) for spec in opened.inputs}
    outputs = {back.get(spec.name, spec.name): spec.name for spec in taken.interface.outputs}
    given = {spec.name for spec in opened.outputs}
    if options.edit is not None and not given >= outputs.keys():  # the model was edited, and gives something else
        outputs = {name: name for name in given}
    return RenamedBackend(opened, inputs=inputs, outputs=outputs)
