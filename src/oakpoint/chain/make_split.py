"""The ONNX in two: the part that the device takes, and the host's tail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from oakpoint.backends.base import Tensors
from oakpoint.backends.chained import open_first_tail, open_tail
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import Input, Interface, TensorSpec
from oakpoint.bundle.records import DeviceRecord, SplitRecord
from oakpoint.chain.making import BLOB_FILE, DEVICE_PART_FILE, ONNX_FILE, TAIL_FILE, Making
from oakpoint.chain.options import AUTO
from oakpoint.convert.device_graph import device_inputs
from oakpoint.convert.onnx_intake import host_tensors
from oakpoint.convert.split.cut import cut_behind, usb_bytes
from oakpoint.convert.split.halves import Halves, halves, parts_at_size
from oakpoint.convert.split.parts import Parts
from oakpoint.errors import (
    MAX_NAMED_LAYERS,
    BackendError,
    CompilerError,
    ConversionError,
    OakpointError,
    UnsupportedNetworkError,
)
from oakpoint.layers.cuts.cut_names import tensors_behind
from oakpoint.layers.cuts.from_input import TakenFromInput, best_cut, something_is_left, whole_is_taken
from oakpoint.layers.cuts.prices import host_ms
from oakpoint.layers.trying.trials import CompilerTrial
from oakpoint.myriad.blob import read_blob
from oakpoint.myriad.cost import estimate
from oakpoint.tasks.base import AS_THEY_ARE


def make_split(making: Making) -> str:
    """Cut the network where it was asked for, or say that the device takes all of it."""
    source = making.folder / ONNX_FILE
    parts = parts_at_size(onnx.load(source), device_inputs(making.interface))
    found = _found(making, source, parts)
    if found.cut is None:
        return "the device takes the whole network: it is not cut"
    models = halves(parts, found.cut)
    runtime = _write(making, models)
    notes = _heads_as_they_are(making)
    making.split = SplitRecord(
        asked=making.options.split,
        crossing=tuple(value.name for value in models.tail.graph.input),
        finished=found.cut.finished,
        device_layers=len(found.cut.on_device),
        host_layers=len(parts.nodes) - len(found.cut.on_device),
        refused=dict(found.refused),
        runtime=runtime,
        usb_bytes=usb_bytes(parts, found.cut),
        notes=notes,
    )
    return _told(making.split)


def _found(making: Making, source: Path, parts: Parts) -> TakenFromInput:
    options, inputs = making.options, device_inputs(making.interface)
    if options.split != (AUTO,):
        tensors = tensors_behind(options.split, onnx.load(source), parts, making.modules)
        return TakenFromInput(cut_behind(parts, tensors), {})
    images = [given.name for given in inputs if given.scale is not None]
    trial = CompilerTrial(images, lambda words: making.listener.started(f"split: {words}"))
    heads = making.task.device_rewrites(making.device, making.interface)
    if making.device.heads != AS_THEY_ARE and whole_is_taken(source, inputs, heads, trial):
        return TakenFromInput(None, {})
    return best_cut(parts, inputs, trial, making.modules)


def check_split_names(making: Making) -> None:
    """Make sure, as soon as the ONNX is there, that the network has what it is to be cut behind.

    Raises:
        UsageError: it has not.
        ConversionError: it cannot be cut there.
    """
    if making.options.split and making.options.split != (AUTO,):
        parts = parts_at_size(onnx.load(making.folder / ONNX_FILE), device_inputs(making.interface))
        _found(making, making.folder / ONNX_FILE, parts)


def way_out(making: Making, broken: OakpointError | None) -> str:
    """What helps where the device does not take a network: the end of a sentence; empty where it is something else."""
    if isinstance(broken, CompilerError):
        return f"; {_CHECK}, and --split auto leaves those that are not taken to the host"
    if not isinstance(broken, UnsupportedNetworkError):
        return ""
    try:
        parts = parts_at_size(onnx.load(making.folder / ONNX_FILE), device_inputs(making.interface))
        left = something_is_left(parts, broken.findings)
    except ConversionError:  # of a network that has no fixed size, for one: what is wrong was said
        left = False
    if making.options.split or not left:
        return f"; {_CHECK}"
    return f"; --split auto leaves what is not taken to the host, and {_CHECK}"


_CHECK = "oakpoint check tells of every layer"


def _heads_as_they_are(making: Making) -> tuple[str, ...]:
    """Heads are for a network whose outputs the device computes: where the host does, they come as they are."""
    asked = making.device.heads
    if asked == AS_THEY_ARE:
        return ()
    making.device = DeviceRecord(heads=AS_THEY_ARE)
    return (f"the heads {asked} are for a network that is whole on the device: the outputs are left as they are",)


def _write(making: Making, models: Halves) -> str:
    """Write both models, and find out what runs the tail."""
    folder, parents = making.folder, making.hashes("onnx")
    for name, model in ((DEVICE_PART_FILE, models.device), (TAIL_FILE, models.tail)):
        onnx.save(model, folder / name)
    inputs, outputs = host_tensors(folder / DEVICE_PART_FILE)
    sized = making.interface.at(making.size, batch=1).inputs
    taken = {given.tensor.name: given for given in sized}
    device = Interface(inputs=tuple(replace(taken[spec.name], tensor=spec) for spec in inputs), outputs=outputs)
    making.add("device_part", (DEVICE_PART_FILE,), device, parents=parents, tool="oakpoint", command="halves")
    making.add("host_tail", (TAIL_FILE,), _tail_interface(folder), parents=parents, tool="oakpoint", command="halves")
    return _runtime(folder / TAIL_FILE)


def _tail_interface(folder: Path) -> Interface:
    inputs, outputs = host_tensors(folder / TAIL_FILE)
    return Interface(inputs=tuple(Input(tensor=spec) for spec in inputs), outputs=outputs)


def _runtime(path: Path) -> str:
    try:
        runtime, tail = open_first_tail(path)
    except BackendError as error:
        raise ConversionError(f"split: {error}") from error
    tail.close()
    return runtime


def priced(making: Making, split: SplitRecord, outputs: Sequence[TensorSpec]) -> SplitRecord:
    """What the cut costs, once the blob is there.

    Args:
        making: with the blob in its folder.
        split: what is known of the cut.
        outputs: of the blob.
    """
    tail = making.host_tail
    assert tail is not None
    device_ms = estimate(read_blob(making.folder / BLOB_FILE)).total_ms
    sent = sum(math.prod(int(side) for side in spec.shape) * np.dtype(spec.dtype).itemsize for spec in outputs)
    with open_tail(tail.path, tail.runtime) as backend:
        measured = host_ms(backend, _what_crosses(making))
    notes = split.notes
    taken = sum(math.prod(given.preprocess.tensor_shape) for given in making.interface.inputs if given.preprocess)
    if 0 < taken < sent:
        notes = (*notes, f"more bytes come from the device than the image itself has ({taken:,})")
    return replace(split, device_ms=device_ms, usb_bytes=sent, host_ms=measured, notes=notes)


def _what_crosses(making: Making) -> Tensors:
    """The tail's inputs for the first of the images, as the host computes them: the values may decide on its time."""
    source = making.device_source
    options = RuntimeOptions(backend="onnxruntime")
    fed = source.interface.feed_apart(next(iter(making.verifier.images.values())))
    with open_backend(ModelSource(onnx=source.path), options, source.interface.tensors) as device:
        given = device.run(fed)
    return {spec.name: given[spec.name] for spec in making.artifact("host_tail").interface.tensors}


def _told(split: SplitRecord) -> str:
    told = (
        f"{split.device_layers} layers on the device and {split.host_layers} on the host: {_few(split.crossing)} "
        f"cross, {split.usb_bytes:,} bytes a frame"
    )
    why = f"; not taken: {_few(tuple(split.refused))}" if split.refused else ""
    return told + why + "".join(f"; {note}" for note in split.notes)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED_LAYERS} more" if len(names) > MAX_NAMED_LAYERS else ""
    return ", ".join(names[:MAX_NAMED_LAYERS]) + more
