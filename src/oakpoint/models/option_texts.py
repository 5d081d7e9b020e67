"""What people write of a model beside its name, on the command line and in a row of an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from oakpoint.errors import UsageError
from oakpoint.images.input_options import colour_from, numbers_from, resize_from
from oakpoint.models.base import ModelOptions
from oakpoint.models.inputs import ImageOptions, InputOptions
from oakpoint.networks.arguments import parse_arguments
from oakpoint.networks.output_names import parse_outputs

logger = logging.getLogger(__name__)

SEVERAL = ("arg", "output", "shape")
"""Options that may be given several times."""

SINGLE = ("task", "color", "mean", "std", "scale", "normalize", "range", "resize")
"""Those that are given once."""


def options_from_settings(settings: Sequence[tuple[str, str]]) -> ModelOptions:
    """The same from a list of names and texts, such as ``("color", "rgb")``.

    Raises:
        UsageError: one that is given twice, or cannot be meant.
    """
    given: dict[str, Any] = {}
    for name, text in settings:
        key = "pixel_range" if name == "range" else name
        if name in SEVERAL:
            given.setdefault(key, []).append(text)
        elif key in given:
            raise UsageError(f"{name}: is given twice, as {given[key]} and {text}")
        else:
            given[key] = text
    return model_options(**given)


def model_options(
    *,
    arg: Sequence[str] | None = None,
    output: Sequence[str] | None = None,
    shape: Sequence[str] | None = None,
    task: str | None = None,
    color: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    scale: str | None = None,
    normalize: str | None = None,
    pixel_range: str | None = None,
    resize: str | None = None,
) -> ModelOptions:
    """What was written of a model as it is taken; how numbers were understood is logged, for people to check.

    Args:
        arg: NAME=VALUE, arguments of a class.
        output: NEW=NAME or NAME, outputs that are wanted.
        shape: NAME=1x3x320x320, shapes of inputs.
        task: what the outputs mean.
        color: order of the image's channels.
        mean: subtracted from pixels, one number or one for each channel.
        std: what the difference is divided by.
        scale: what the difference is multiplied with.
        normalize: a name for the usual mean and std.
        pixel_range: of which pixels these numbers speak.
        resize: how images are brought to size.

    Raises:
        UsageError: one that cannot be meant.
    """
    colour = None if color is None else colour_from(color)
    numbers = numbers_from(mean=mean, std=std, scale=scale, normalize=normalize, pixels=pixel_range, colour=colour)
    if numbers is not None:
        logger.warning("%s", numbers.note)
    resizing, level = (None, None) if resize is None else resize_from(resize)
    image = ImageOptions(
        colour=colour,
        mean=None if numbers is None else numbers.mean,
        scale=None if numbers is None else numbers.scale,
        resize=resizing,
        padding_value=level,
    )
    return ModelOptions(
        arguments=parse_arguments(arg or ()),
        outputs=_outputs(output or ()),
        inputs=InputOptions(image=image, shapes=_shapes(shape or ())),
        task=task,
    )


def _shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    from oakpoint.convert.interface import parse_shape

    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, sizes = parse_shape(text)
        if name in shapes:
            raise UsageError(f"--shape {text}: {name} is given twice")
        shapes[name] = sizes
    return shapes


def _outputs(texts: Sequence[str]) -> dict[str, str] | None:
    if not texts:
        return None
    return parse_outputs(texts)
