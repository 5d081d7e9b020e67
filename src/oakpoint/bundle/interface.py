"""What a network takes and gives: named inputs, images among them, and named outputs. What they mean is a task's."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.errors import UsageError
from oakpoint.geometry import PixelMap
from oakpoint.images.preprocess import Preprocess

OPEN_BATCH = "N"
"""In a shape, a batch that is left open."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named tensor of a model.

    Attributes:
        name: the tensor's name.
        dtype: as NumPy writes it: ``float32``, ``float16``, ``uint8``.
        shape: outermost dimension first; a name in place of a number is a dimension left open.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input.

    Attributes:
        tensor: its name, type and shape.
        preprocess: how an image becomes this tensor, and what of that is within the graph; None for a tensor that is no
            image.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    tensor: TensorSpec
    preprocess: Preprocess | None = None

    def at(self, size: tuple[int, int], *, batch: int | str = 1) -> Input:
        """The same input for images of (W, H) pixels, at a batch; other tensors keep their shape but for that."""
        if self.preprocess is None:
            return self.at_batch(batch)
        preprocess = replace(self.preprocess, size=size)
        tensor = replace(self.tensor, shape=(batch, *preprocess.tensor_shape[1:]))
        return replace(self, tensor=tensor, preprocess=preprocess)

    def at_batch(self, batch: int | str) -> Input:
        """The same input with an open batch settled."""
        if self.tensor.shape[:1] != (OPEN_BATCH,):
            return self
        return replace(self, tensor=replace(self.tensor, shape=(batch, *self.tensor.shape[1:])))

    def on_device(self) -> Input:
        """The same input of the device graph: an image's pixels as they are, uint8, channels first."""
        if self.preprocess is None:
            shape = tuple(side if isinstance(side, int) else 1 for side in self.tensor.shape)
            return replace(self, tensor=replace(self.tensor, dtype="float16", shape=shape))
        preprocess = replace(self.preprocess, baked=True, layout="nchw")
        tensor = replace(self.tensor, dtype="uint8", shape=preprocess.tensor_shape)
        return replace(self, tensor=tensor, preprocess=preprocess)

    def values(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """The tensor for an image; one that is no image is filled with noise that its name and the image decide.

        Raises:
            ImageError: see ``Preprocess.apply``.
        """
        if self.preprocess is not None:
            return self.preprocess.apply(image)[0]
        rng = np.random.default_rng(zlib.crc32(self.tensor.name.encode(), zlib.crc32(image.tobytes())))
        shape = tuple(side if isinstance(side, int) else 1 for side in self.tensor.shape)
        kind = np.dtype(self.tensor.dtype)
        if kind.kind == "f":
            return rng.standard_normal(shape).astype(np.float16).astype(kind)  # the same on the device
        return rng.integers(0, 2, shape).astype(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """All inputs and outputs of a model.

    Attributes:
        inputs: in the model's order, at least one.
        outputs: in the model's order.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    inputs: tuple[Input, ...]
    outputs: tuple[TensorSpec, ...] = ()

    @property
    def image(self) -> Preprocess:
        """How an image becomes the first input that takes one.

        Raises:
            UsageError: no input takes an image.
        """
        for given in self.inputs:
            if given.preprocess is not None:
                return given.preprocess
        shapes = ", ".join(f"{spec.name} {'x'.join(map(str, spec.shape))}" for spec in self.tensors)
        raise UsageError(f"expected a network that takes an image of 1 or 3 channels, got one that takes {shapes}")

    @property
    def size(self) -> tuple[int, int] | None:
        """(W, H) in pixels of ``image``; None where no input takes one."""
        return next((given.preprocess.size for given in self.inputs if given.preprocess is not None), None)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Name, type and shape of each input."""
        return tuple(given.tensor for given in self.inputs)

    def at(self, size: tuple[int, int] | None, *, batch: int | str = 1) -> Interface:
        """The inputs for images of (W, H) pixels at a batch; outputs stay, whatever follows for their sizes.

        The size is that of ``image`` and of the images that are as large; one of another size keeps it. None leaves
        all of them at their own.
        """

        def at_size(given: Input) -> Input:
            if given.preprocess is None:
                return given.at_batch(batch)
            own = given.preprocess.size
            return given.at(size if size is not None and own == self.size else own, batch=batch)

        return replace(self, inputs=tuple(map(at_size, self.inputs)))

    def with_outputs_at(self, batch: int) -> Interface:
        """The same, outputs whose batch is open having this one."""
        outputs = (
            replace(spec, shape=(batch, *spec.shape[1:])) if spec.shape[:1] == (OPEN_BATCH,) else spec
            for spec in self.outputs
        )
        return replace(self, outputs=tuple(outputs))

    def renamed(self, names: Mapping[str, str]) -> Interface:
        """The same with other names: own name → new one; an output without a new name is left out, if any has one."""
        inputs = (
            replace(given, tensor=replace(given.tensor, name=names.get(given.tensor.name, given.tensor.name)))
            for given in self.inputs
        )
        kept = [spec for spec in self.outputs if spec.name in names] or self.outputs
        order = {own: index for index, own in enumerate(names)}
        outputs = sorted(kept, key=lambda spec: order.get(spec.name, 0))
        renamed = tuple(replace(spec, name=names.get(spec.name, spec.name)) for spec in outputs)
        return replace(self, inputs=tuple(inputs), outputs=renamed)

    def renamed_inputs(self, names: Mapping[str, str]) -> Interface:
        """The same with other names of inputs alone."""
        return replace(self.renamed({**names, **{spec.name: spec.name for spec in self.outputs}}))

    def on_device(self) -> Interface:
        """The same of the device graph that is made of a model: it takes pixels as they are, channels first."""
        return replace(self, inputs=tuple(given.on_device() for given in self.inputs))

    def with_preprocess(self, preprocess: Preprocess) -> Interface:
        """The same with other preprocessing of its images, and their size."""
        inputs = (
            replace(given, preprocess=preprocess) if given.preprocess is not None else given for given in self.inputs
        )
        return replace(self, inputs=tuple(inputs)).at(preprocess.size, batch=self.batch)

    @property
    def batch(self) -> int | str:
        """The first dimension of the first input; ``OPEN_BATCH`` where it is open."""
        return self.inputs[0].tensor.shape[0] if self.inputs[0].tensor.shape else 1

    def feed(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The tensors of all inputs for an image, uint8 (H, W) or (H, W, 3) BGR.

        Raises:
            ImageError: see ``Preprocess.apply``.
        """
        return {given.tensor.name: given.values(image) for given in self.inputs}

    def feed_apart(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """As ``feed``, but the second, third and fourth image input get the image mirrored, upside down, and both.

        Two models are compared on it: with one picture for all, a network that compares its images finds no difference,
        and images that are swapped are as good as others.

        Raises:
            ImageError: see ``Preprocess.apply``.
        """
        views = itertools.cycle((image, image[:, ::-1], image[::-1], image[::-1, ::-1]))
        return {
            given.tensor.name: given.values(image if given.preprocess is None else np.ascontiguousarray(next(views)))
            for given in self.inputs
        }

    def original_from_tensor(self, image_size: tuple[int, int]) -> PixelMap:
        """The map from pixels of the first image input to pixels of an image of (W, H)."""
        return self.image.original_from_tensor(image_size)


def image_interface(name: str, preprocess: Preprocess, outputs: tuple[TensorSpec, ...] = ()) -> Interface:
    """The interface of a network with one image, the batch open."""
    spec = TensorSpec(name, "float32", (OPEN_BATCH, *preprocess.tensor_shape[1:]))
    return Interface(inputs=(Input(tensor=spec, preprocess=preprocess),), outputs=outputs)
