"""The tasks by name, the first that recognises a network taking it."""

from __future__ import annotations

from typing import Any

from oakpoint.bundle.folder import Bundle
from oakpoint.bundle.interface import Interface
from oakpoint.bundle.manifest import MANIFEST_FILE
from oakpoint.bundle.records import TaskRecord
from oakpoint.errors import BundleError, UsageError
from oakpoint.tasks.base import Task
from oakpoint.tasks.boxes.task import BoxesTask
from oakpoint.tasks.classes.task import ClassesTask
from oakpoint.tasks.keypoints.task import Keypoints
from oakpoint.tasks.mask.task import MaskTask
from oakpoint.tasks.tensors.task import RawTensors

TASKS: dict[str, type[Task[Any]]] = {
    task.name: task for task in (Keypoints, BoxesTask, ClassesTask, MaskTask, RawTensors)
}
"""Tasks by name, in the order in which a network is shown to them; the last one takes whatever comes."""


ALL_HEADS = tuple(dict.fromkeys(heads for task in TASKS.values() for heads in task.heads))
"""Heads that some task has."""


def recognised_task(interface: Interface, name: str | None = None, *, on_device: bool = False) -> Task[Any]:
    """The task of a network.

    Args:
        interface: its inputs and outputs.
        name: of the task where it was said, with one of its forms behind a colon where that is needed:
            ``boxes:yolox``; None finds out.
        on_device: the network may have heads of the device.

    Raises:
        UsageError: an unknown name or form, or a network that is not of that task; one that takes no image is of none
            but ``tensors``.
    """
    if name is None:
        tasks = TASKS.values() if interface.size is not None else (RawTensors,)
        tries = (task.recognised_on_device(interface) if on_device else task.recognised(interface) for task in tasks)
        return next(found for found in tries if found is not None)
    task_name, _, form = name.partition(":")
    if task_name not in TASKS:
        raise UsageError(f"task: expected one of {', '.join(TASKS)}, got {name!r}")
    if interface.size is None and task_name != RawTensors.name:
        raise UsageError(f"task: {name} is what is found in an image, and the network takes none; leave --task out")
    named = TASKS[task_name]
    if on_device and not form and (found := named.recognised_on_device(interface)) is not None:
        return found
    if (found := named.taken_as(interface, form)) is not None:
        return found
    given = ", ".join(f"{spec.name} {spec.shape}" for spec in interface.outputs)
    raise UsageError(f"task: the network's outputs are not those of {name}: {given}; leave --task out to find out")


def task_of(record: TaskRecord) -> Task[Any]:
    """The task that a manifest tells of.

    Raises:
        UsageError: an unknown one.
    """
    if record.name not in TASKS:
        raise UsageError(f"task: expected one of {', '.join(TASKS)}, got {record.name!r}; a newer oakpoint reads it")
    return TASKS[record.name].from_record(record)


def task_of_bundle(bundle: Bundle) -> Task[Any]:
    """The task of a bundle, which has the heads that its manifest tells of.

    Raises:
        BundleError: its manifest tells of another task, parameters or heads than there are.
    """
    manifest = bundle.manifest
    try:
        task = task_of(manifest.task)
        task.device_rewrites(manifest.device, manifest.interface)
    except UsageError as error:
        raise BundleError(f"{bundle.folder / MANIFEST_FILE}: not a valid manifest: {error}") from error
    return task
