"""What an image input wants, as people write it: colours, mean and deviation in the network's own words, resizing."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from oakpoint.errors import UsageError
from oakpoint.images.preprocess import Colour, PerChannel, Resize

PixelRange = Literal["0-1", "0-255"]
"""The range of a pixel of which mean and deviation speak."""

IMAGENET = "imagenet"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue from 0 to 1. Source: torchvision.transforms, «Normalize», and the weights of its models."""

_SPELLINGS: dict[str, Colour] = {"gray": "grey", "grayscale": "grey", "greyscale": "grey", "mono": "grey"}
_FRACTION = re.compile(r"([^/]+)/([^/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelNumbers:
    """Mean and scale of pixels 0–255, and how what was said was understood.

    Attributes:
        mean: subtracted from levels 0–255; one number, or one for each channel in the tensor's order.
        scale: what the difference is multiplied with, likewise.
        note: what a black and a white pixel become, for the user to check.
    """

    mean: PerChannel
    scale: PerChannel
    note: str


def colour_from(text: str) -> Colour:
    """The colour that a text names: ``grey``, ``bgr`` or ``rgb``, in any case; ``gray`` is grey.

    Raises:
        UsageError: another one.
    """
    word = text.strip().lower()
    word = _SPELLINGS.get(word, word)
    for colour in get_args(Colour):
        if word == colour:
            return colour  # type: ignore[no-any-return]
    hint = ""
    if word in ("rgba", "bgra", "argb"):
        hint = "; a camera has no alpha: export the network with three channels"
    elif word in ("yuv", "nv12", "hsv", "lab"):
        hint = "; export the network so that it converts RGB itself"
    raise UsageError(f"--color: expected one of {', '.join(get_args(Colour))}, got {text!r}{hint}")


def resize_from(text: str) -> tuple[Resize, int | None]:
    """The resizing that a text names, and the level of a letterbox's borders: ``letterbox:114``.

    Returns:
        The resizing; and the level, None where none was said.

    Raises:
        UsageError: another one, a level for something else than a letterbox, or a level that is none.
    """
    word, colon, level = text.strip().lower().partition(":")
    if word not in get_args(Resize):
        raise UsageError(f"--resize: expected one of {', '.join(get_args(Resize))}, letterbox:114, got {text!r}")
    resize: Resize = word  # type: ignore[assignment]
    if not colon:
        return resize, None
    if word != "letterbox" or not level.isdecimal() or int(level) > 255:
        raise UsageError(f"--resize: expected a level from 0 to 255 behind letterbox alone, got {text!r}")
    return resize, int(level)


def numbers_from(
    *,
    mean: str | None = None,
    std: str | None = None,
    scale: str | None = None,
    normalize: str | None = None,
    pixels: str | None = None,
    colour: Colour | None = None,
) -> PixelNumbers | None:
    """Mean and scale of pixels 0–255 from what was said of them in the network's own words.

    A network is documented as (pixel − mean) / std, or · scale, of pixels from 0 to 1 (PyTorch) or from 0 to 255
    (Caffe, OpenCV). Which of them is seen from the numbers: a mean or deviation above 1, or a scale below 0.1, speaks
    of 0 to 255. Where they fit both, ``pixels`` has to say it.

    Args:
        mean: numbers between commas, or ``imagenet``.
        std: likewise; the difference is divided by it.
        scale: in place of ``std``: the difference is multiplied with it; fractions such as 1/255 are taken.
        normalize: ``imagenet`` in place of all of them.
        pixels: ``0-1`` or ``0-255``.
        colour: of the input, None where it was not said; ImageNet's numbers follow its order.

    Returns:
        None where nothing was said.

    Raises:
        UsageError: no numbers, contradictions, or numbers that fit both ranges.
    """
    if normalize is not None:
        if (mean, std, scale) != (None, None, None):
            raise UsageError("--normalize: stands for --mean and --std together; leave out these and --scale")
        _require_imagenet(normalize, "--normalize")
        mean = std = IMAGENET
    if std is not None and scale is not None:
        raise UsageError("--std, --scale: the one divides and the other multiplies; give one of them")
    if pixels not in (None, *get_args(PixelRange)):
        raise UsageError(f"--range: expected one of {', '.join(get_args(PixelRange))}, got {pixels!r}")
    if (mean, std, scale) == (None, None, None):
        return None if pixels is None else _numbers((0.0,), (1.0,), pixels)
    means = _values(mean, "--mean", IMAGENET_MEAN, colour) if mean is not None else (0.0,)
    factors = _factors(std, scale, colour)
    if IMAGENET in (_word(mean), _word(std)) and pixels == "0-255":
        raise UsageError("--range: ImageNet's numbers by name are of pixels from 0 to 1; leave out --range")
    return _numbers(means, factors, pixels or _range_of(means, factors, by_name=IMAGENET in (_word(mean), _word(std))))


def _numbers(means: tuple[float, ...], factors: tuple[float, ...], pixels: str) -> PixelNumbers:
    white = 255.0 if pixels == "0-1" else 1.0
    mean, scale = tuple(white * m for m in means), tuple(f / white for f in factors)
    both = list(zip(mean * len(scale), scale, strict=False)) if len(mean) == 1 else list(
        zip(mean, scale * len(mean), strict=False)
    )  # fmt: skip
    black_white = [", ".join(f"{(level - m) * s:.4g}" for m, s in both) for level in (0, 255)]
    note = f"mean and scale taken as of pixels from {pixels.replace('-', ' to ')}: black becomes {black_white[0]}, "
    return PixelNumbers(mean=_single(mean), scale=_single(scale), note=f"{note}white {black_white[1]}")


def _range_of(means: tuple[float, ...], factors: tuple[float, ...], *, by_name: bool) -> PixelRange:
    """The range of pixels that numbers speak of.

    Of pixels 0–255 a mean is some tens and a factor about 1/255 to 1/50; of 0–1 a mean is below 1 and a factor 1 to 5.
    """
    if by_name:
        return "0-1"
    large = any(abs(mean) > 1 for mean in means) or any(abs(factor) < 0.1 for factor in factors)
    small = any(0 < abs(mean) < 1 for mean in means) or any(abs(factor) > 1 for factor in factors)
    if large and not small:
        return "0-255"
    if small and not large:
        return "0-1"
    raise UsageError(
        "--mean, --std, --scale: these numbers fit pixels from 0 to 1 as well as from 0 to 255; say which, as "
        "--range 0-1 or --range 0-255"
    )


def _factors(std: str | None, scale: str | None, colour: Colour | None) -> tuple[float, ...]:
    name = "--std" if std is not None else "--scale"
    text = std if std is not None else scale
    if text is None:
        return (1.0,)
    if name == "--scale" and _word(scale) == IMAGENET:
        raise UsageError("--scale: ImageNet's numbers are deviations: --std imagenet")
    values = _values(text, name, IMAGENET_STD, colour)
    if any(value <= 0 for value in values):
        raise UsageError(f"{name}: expected positive numbers, got {text}")
    return tuple(1 / value for value in values) if name == "--std" else values


def _values(text: str, name: str, imagenet: tuple[float, ...], colour: Colour | None) -> tuple[float, ...]:
    if _word(text) == IMAGENET:
        if colour == "grey":
            raise UsageError(
                f"{name}: ImageNet's numbers are of three colours, and the input is grey; give the number that the "
                "network was trained with, such as --mean 0.449 --std 0.226"
            )
        return imagenet[::-1] if colour == "bgr" else imagenet
    parts = [part for part in re.split(r"[,;\s]+", text.strip().strip("[]()")) if part]
    values = tuple(_number(part, name, text) for part in parts)
    if len(values) not in (1, 3):
        raise UsageError(f"{name}: expected one number, or three in the order of the channels, got {text!r}")
    return values


def _number(part: str, name: str, text: str) -> float:
    fraction = _FRACTION.fullmatch(part)
    try:
        value = float(fraction[1]) / float(fraction[2]) if fraction else float(part)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name}: expected numbers such as 0.485,0.456,0.406 or 1/255, or {IMAGENET}, got {text!r}")
    return value


def _require_imagenet(text: str, name: str) -> None:
    if _word(text) != IMAGENET:
        raise UsageError(f"{name}: expected {IMAGENET}, or the numbers as --mean and --std, got {text!r}")


def _word(text: str | None) -> str | None:
    return None if text is None else text.strip().lower()


def _single(values: tuple[float, ...]) -> PerChannel:
    return values[0] if len(values) == 1 else values
