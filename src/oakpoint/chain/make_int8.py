"""ONNX → OpenVINO IR in INT8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import OPEN_BATCH, Interface
from oakpoint.bundle.records import Int8Record, StageReport
from oakpoint.chain.int8_images import Images, in_orientations
from oakpoint.chain.int8_layers import MOST_MEASURED, Case, LayerChoice
from oakpoint.chain.making import ONNX_FILE, Making
from oakpoint.convert.int8_from_onnx import Feed, Quantiser, shown_layer
from oakpoint.verify.photographs import second_view

INT8_XML, INT8_BIN = "model.int8.xml", "model.int8.bin"


def make_int8(making: Making) -> str:
    """Quantise the network, layers kept in float until no more is lost than may be, and write it."""
    images, options = making.int8_images, making.options
    assert images is not None, "read before the first step"
    batch = 1 if making.interface.batch == OPEN_BATCH else making.interface.batch
    assert isinstance(batch, int)
    interface = making.interface.at(making.size, batch=batch).with_outputs_at(batch)
    shapes = [tuple(int(side) for side in spec.shape) for spec in interface.tensors]
    pictures = [view for image in images.calibrating.values() for view in (image, second_view(image))]
    quantiser = Quantiser(
        making.folder / ONNX_FILE, shapes, pictures, lambda picture: _repeated(interface.feed_apart(picture), batch)
    )
    choice = LayerChoice(
        quantiser=quantiser,
        cases=_cases(making, interface, in_orientations(images.calibrating, MOST_MEASURED)),
        task=making.task,
        inputs=interface.tensors,
        progress=lambda what: making.listener.started(f"int8: {what}"),
    )
    chosen = choice.within(options.int8_loss)
    written = making.interface.at(making.size, batch=options.batch).with_outputs_at(options.batch)
    quantiser.write(
        chosen.model, making.folder / INT8_XML, [tuple(int(side) for side in spec.shape) for spec in written.tensors]
    )
    making.int8 = Int8Record(
        calibration=dict(images.sha256),
        held_out=tuple(images.judging),
        figure=making.task.loses,
        bound=options.int8_loss,
        first_loss=chosen.first_loss,
        loss=chosen.loss,
        layers=len(chosen.layers),
        in_float={shown_layer(name): lost for name, lost in chosen.in_float.items()},
    )
    command = f"quantize(preset=MIXED, overflow_fix=FIRST_LAYER, subset_size={len(pictures)})"
    files = (INT8_XML, INT8_BIN)
    making.add("ir_int8", files, written, parents=making.hashes("onnx"), tool=quantiser.tool, command=command)
    return f"{quantiser.tool}, {making.int8.summary()}; {len(images.calibrating)} images calibrated it"


def judge_int8(making: Making) -> StageReport:
    """Compare it with the ONNX, on images that did not calibrate it."""
    assert making.int8_images is not None
    assert making.int8 is not None
    source = ModelSource(onnx=making.folder / ONNX_FILE, ir=making.folder / INT8_XML)
    return replace(making.verifier, images=making.int8_images.judging).int8_of_onnx(source, making.int8)


def _cases(making: Making, interface: Interface, images: Images) -> list[Case]:
    """What the float network gives for the images on which a choice is measured."""
    source = ModelSource(onnx=making.folder / ONNX_FILE)
    with open_backend(source, RuntimeOptions(backend="onnxruntime"), interface.tensors) as reference:
        feeds = [(interface.feed_apart(image), interface.feed_apart(second_view(image))) for image in images.values()]
        return [Case(pair, (reference.run(pair[0]), reference.run(pair[1]))) for pair in feeds]


def _repeated(feed: Feed, batch: int) -> Mapping[str, NDArray[Any]]:
    """The inputs of one image as a network of a fixed batch takes them."""
    return feed if batch == 1 else {name: np.repeat(array, batch, axis=0) for name, array in feed.items()}
