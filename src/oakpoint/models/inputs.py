"""What the inputs of a user's network want, from what was said and from their shapes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from oakpoint.bundle.interface import OPEN_BATCH, Input, TensorSpec
from oakpoint.errors import UsageError
from oakpoint.images.preprocess import Colour, Interpolation, Layout, PerChannel, Preprocess, Resize

logger = logging.getLogger(__name__)

Size = tuple[int, int]

_COLOURS: dict[int, Colour] = {1: "grey", 3: "rgb"}
"""Taken where nothing was said, by the number of channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """What was said of how an image becomes a network's input; None where nothing was.

    Attributes:
        colour: order of the channels.
        mean: subtracted from levels 0–255.
        scale: what the difference is multiplied with.
        resize: how an image of another size is brought to the network's.
        interpolation: of that.
        padding_value: of a letterbox.
    """

    colour: Colour | None = None
    mean: PerChannel | None = None
    scale: PerChannel | None = None
    resize: Resize | None = None
    interpolation: Interpolation | None = None
    padding_value: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """What was said of a network's inputs.

    Attributes:
        image: of those that take an image.
        shapes: input name → its shape, where it was given.
    """

    image: ImageOptions = field(default_factory=ImageOptions)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


Look = tuple[Layout, int | None]
"""Order of the axes of an image, and its channels as far as they are known."""


def inputs_of(
    specs: Sequence[TensorSpec], looks: Mapping[str, Look], said: InputOptions, size: Size | None, *, of: str
) -> tuple[Input, ...]:
    """The inputs of a network with all their sizes, but for an open batch.

    Args:
        specs: as the network declares them.
        looks: those that look like images, by name; one of 1 or 3 channels is taken for one.
        said: what was said of them.
        size: (W, H) of the images in pixels; None for the network's own.
        of: the network, for messages.

    Raises:
        UsageError: a shape for an input that is not there or has others, or sizes that nobody gave.
    """
    names = [spec.name for spec in specs]
    for name in said.shapes:
        if name not in names:
            raise UsageError(f"--shape {name}: {of} has no such input; it has {', '.join(names) or 'none'}")
    shaped = [_shaped(spec, said.shapes.get(spec.name), of) for spec in specs]
    inputs = tuple(_input(spec, looks.get(spec.name), said.image, size, of) for spec in shaped)
    others = ", ".join(f"{given.tensor.name} {_text(given.tensor)}" for given in inputs if given.preprocess is None)
    if all(given.preprocess is None for given in inputs) and (size is not None or said.image != ImageOptions()):
        raise UsageError(
            f"--size, --color, --mean, --std, --scale, --resize: are for images of 1 or 3 channels, and {of} takes "
            f"{others}; leave them out (--shape NAME=… fixes what is open)"
        )
    if others:
        logger.warning("%s: no image of 1 or 3 channels, so it is verified on noise, and a host has to feed it", others)
    return inputs


def _shaped(spec: TensorSpec, shape: tuple[int, ...] | None, of: str) -> TensorSpec:
    """A declared input with the shape that was given, which keeps what the network fixes."""
    if shape is None:
        return spec
    same_rank = not spec.shape or len(shape) == len(spec.shape)
    pairs = zip(spec.shape, shape, strict=False)
    if not same_rank or any(isinstance(own, int) and own != given for own, given in pairs):
        given = "x".join(map(str, shape))
        raise UsageError(f"--shape {spec.name}={given}: {of} declares {spec.name} as {_text(spec)}")
    return replace(spec, shape=shape)


def _input(spec: TensorSpec, look: Look | None, said: ImageOptions, size: Size | None, of: str) -> Input:
    channels = None if look is None else look[1] or (1 if said.colour in (None, "grey") else 3)
    if look is None or channels not in _COLOURS:
        return Input(tensor=_fixed(spec, of))
    layout = look[0]
    width, height = size or _own_size(spec, layout, of)
    preprocess = _preprocess(spec, said, (width, height), layout, channels)
    shape = (_batch(spec), *preprocess.tensor_shape[1:])
    return Input(tensor=replace(spec, shape=shape), preprocess=preprocess)


def _preprocess(spec: TensorSpec, said: ImageOptions, size: Size, layout: Layout, channels: int) -> Preprocess:
    colour = said.colour or _COLOURS[channels]
    if (colour == "grey") != (channels == 1):
        raise UsageError(
            f"--color {colour}: the input {spec.name} {_text(spec)} has {channels} channel{'s' * (channels > 1)}; take "
            f"--color {'grey' if channels == 1 else 'rgb or bgr'}"
        )
    levels = spec.dtype == "uint8"
    if levels and (said.mean is not None or said.scale is not None):
        raise UsageError(
            f"--mean, --std, --scale: the input {spec.name} takes whole levels 0–255, which stay as they are"
        )
    if channels == 3 and said.colour is None:
        logger.warning(
            "input %s: taken as RGB, %s; if it wants something else, say it with --color, --mean and --std",
            spec.name,
            "0–255" if levels else "0–1" if said.scale is None else "scaled as was said",
        )
    return Preprocess(
        size=size,
        colour=colour,
        layout=layout,
        mean=0.0 if said.mean is None else said.mean,
        scale=(1.0 if levels else 1 / 255) if said.scale is None else said.scale,
        resize=said.resize or "stretch",
        interpolation=said.interpolation or "area",
        padding_value=said.padding_value or 0,
        baked=levels,
    )


def _own_size(spec: TensorSpec, layout: Layout, of: str) -> Size:
    height, width = spec.shape[2:] if layout == "nchw" else spec.shape[1:3]
    if not isinstance(height, int) or not isinstance(width, int):
        raise UsageError(
            f"size: {of} takes images of any size ({spec.name} {_text(spec)}); give one, as --size 320x200 "
            "(width x height)"
        )
    return width, height


def _fixed(spec: TensorSpec, of: str) -> TensorSpec:
    """An input that is no image: all its sizes are known, but for an open batch."""
    if any(isinstance(side, str) for side in spec.shape[1:]):
        sides = "x".join("N" if isinstance(side, str) else str(side) for side in spec.shape)
        raise UsageError(f"{of}: the input {spec.name} {_text(spec)} is open; give --shape {spec.name}={sides}")
    return replace(spec, shape=(_batch(spec), *spec.shape[1:])) if spec.shape else spec


def _batch(spec: TensorSpec) -> int | str:
    return OPEN_BATCH if isinstance(spec.shape[0], str) else spec.shape[0]


def _text(spec: TensorSpec) -> str:
    return f"{spec.dtype} {'x'.join(map(str, spec.shape))}"
