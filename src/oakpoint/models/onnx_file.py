"""An ONNX file of the user's own, or one that oakpoint wrote."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import onnx

from oakpoint.backends.base import Backend
from oakpoint.backends.identity import sha256_of_model
from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import Input, Interface
from oakpoint.bundle.records import WeightsRecord
from oakpoint.convert.interface import image_inputs
from oakpoint.convert.one_size import require_size, require_size_of_file
from oakpoint.convert.onnx_constants import onnx_constants
from oakpoint.convert.onnx_intake import fix_shapes, given_inputs, given_outputs, open_onnx, sizes_are_known
from oakpoint.convert.output_operators import output_operators
from oakpoint.convert.weights_in_onnx import weights_said_in
from oakpoint.errors import BackendError, UsageError
from oakpoint.export import REFERENCE_SIZE
from oakpoint.models.base import (
    Model,
    ModelOptions,
    Origin,
    Runnable,
    Size,
    identity_of_file,
    require_float,
    require_own_weights,
)
from oakpoint.models.inputs import Look, inputs_of
from oakpoint.models.taken import Taken, open_taken, taken_as_said
from oakpoint.networks.licences import recognised_record
from oakpoint.tasks.keypoints.task import Keypoints

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class OnnxModel(Model):
    """An ONNX file.

    Attributes:
        path: the file.
        options: what was said of it.
    """

    path: Path
    options: ModelOptions

    def runnable(self, options: RuntimeOptions) -> Runnable:
        """See ``Model.runnable``."""
        if not self.path.is_file():
            raise UsageError(f"{self.path}: no such ONNX file")
        require_own_weights(self.path, self.options)
        require_float(str(self.path), options)
        model = open_onnx(self.path)
        own_size = _fixed_size(model)
        any_size = own_size is None and bool(image_inputs(model))
        taken = taken_onnx(model, str(self.path), self.options, REFERENCE_SIZE if any_size else None)
        source = ModelSource(onnx=self.path)
        return Runnable(
            open_at=partial(_open_named, source, options, taken, own_size),
            source=lambda: source,
            interface=taken.interface,
            task=taken.task,
            identify=partial(identity_of_file, self.path),
            # One for keypoints is tried at whatever size an image has, as those of SuperPoint's kind are made for it.
            has_size=not (isinstance(taken.task, Keypoints) or any_size),
        )

    def origin(self, size: Size | None) -> Origin:
        """See ``Model.origin``."""
        require_own_weights(self.path, self.options)
        model = open_onnx(self.path)
        if size is not None:
            require_size(str(self.path), model, size)
            if (own := _fixed_size(model)) not in (None, size):
                logger.warning(
                    "%s is made for %sx%s and is converted for %sx%s: what in it follows from its size, if "
                    "anything does, stays what it was",
                    self.path, *own, *size,
                )  # fmt: skip
        sha256 = sha256_of_model(self.path)
        weights = recognised_record(claimed_weights(model, self.path.name, sha256), onnx_constants(model))
        taken = taken_onnx(model, str(self.path), self.options, size)
        return Origin(
            name=self.path.name,
            weights=weights,
            interface=taken.interface,
            task=taken.task,
            model=model,
            names=taken.names,
            parent=sha256,
        )


def taken_onnx(model: onnx.ModelProto, of: str, options: ModelOptions, size: Size | None) -> Taken:
    """Fix the sizes of a model, in place, and find out what it is.

    Args:
        model: changed in place.
        of: what messages call it.
        options: what was said of it.
        size: (W, H) of its images in pixels; None for its own.

    Raises:
        UsageError: options that do not fit it, sizes that nobody gave, or one that its task does not take.
        ConversionError: it does not take these sizes.
    """
    images = image_inputs(model)
    looks: dict[str, Look] = {image.name: (image.layout, image.channels) for image in images}
    for image in images:
        if image.layout == "nhwc":
            logger.warning("input %s: an image with channels last, by %s", image.name, image.why)
    own = fixed_interface(model, inputs_of(given_inputs(model), looks, options.inputs, size, of=of))
    taken = taken_as_said(own, options, of)
    producers = {taken.names.get(name, name): operator for name, operator in output_operators(model).items()}
    if taken.interface.size is not None:
        taken.task.require_size(taken.interface.size)
    return replace(taken, task=taken.task.with_interface(taken.interface, producers))


def _open_named(
    source: ModelSource, options: RuntimeOptions, taken: Taken, own_size: Size | None, size: Size
) -> Backend:
    assert source.onnx is not None
    require_size_of_file(source.onnx, size)
    try:
        return open_taken(source, options, taken, size)
    except BackendError as error:
        if own_size in (None, size):
            raise
        made, asked = ("{}x{}".format(*each) for each in (own_size, size))
        raise BackendError(f"{error}; the network is made for {made}, not for {asked}: --size {made}") from error


def fixed_interface(model: onnx.ModelProto, inputs: tuple[Input, ...]) -> Interface:
    """Give a model the sizes of its inputs, and tell what it gives then.

    Args:
        model: changed in place.
        inputs: with all sizes, but for an open batch.

    Raises:
        ConversionError: it does not take these sizes.
    """
    original = onnx.ModelProto.FromString(model.SerializeToString())
    fix_shapes(model, {given.tensor.name: given.tensor.shape for given in inputs})
    outputs = given_outputs(model)
    if not sizes_are_known(model):  # as they hang on an open batch
        inputs = tuple(given.at_batch(1) for given in inputs)
        model.CopyFrom(original)
        fix_shapes(model, {given.tensor.name: given.tensor.shape for given in inputs})
        outputs = given_outputs(model)
    return Interface(inputs=inputs, outputs=outputs)


def _fixed_size(model: onnx.ModelProto) -> Size | None:
    """(W, H) in pixels of the first image of a model; None where one has an open side, or there is none."""
    sizes = [image.size for image in image_inputs(model)]
    if not sizes or any(None in size for size in sizes):
        return None
    width, height = sizes[0]
    assert width is not None
    assert height is not None
    return width, height


def open_onnx_at(source: ModelSource, options: RuntimeOptions, interface: Interface, size: Size) -> Backend:
    """Open a model with an ONNX form at a size that it holds for."""
    if source.onnx is not None and options.backend in ("onnxruntime", "openvino"):
        require_size_of_file(source.onnx, size)
    return open_backend(source, options, interface.at(size).tensors)


def claimed_weights(model: onnx.ModelProto, file: str, sha256: str) -> WeightsRecord:
    """What an ONNX file says of its weights: one of ours has their record with it."""
    said = weights_said_in(model)
    if said is None:
        return WeightsRecord(file=file, sha256=sha256, name="unknown", licence="unknown", origin="an ONNX file")
    return replace(said, file=file, sha256=sha256, seed=None)
