"""From an image to the network's input tensor, and from pixels of the tensor back to pixels of the image.

Written once, kept in the manifest of a bundle, and used by every backend: what differs between two backends can then be
only what the network put out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeVar, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import model_serializer

from oakpoint.errors import ImageError, UsageError
from oakpoint.geometry import PixelMap, cropped_from_full, resized_from_original
from oakpoint.images.inputs import check_image
from oakpoint.images.reading import MAX_PIXELS

Colour = Literal["grey", "bgr", "rgb"]
Layout = Literal["nchw", "nhwc"]
Resize = Literal["stretch", "crop", "letterbox", "cut"]
Interpolation = Literal["area", "linear"]

PerChannel = float | tuple[float, ...]
"""One number for every channel, or one for each, in the tensor's order of channels."""

_CHOICES = {"colour": Colour, "layout": Layout, "resize": Resize, "interpolation": Interpolation}
_Box = tuple[int, int, int, int]  # left, top, width, height in pixels
_Number = TypeVar("_Number", np.float32, np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """How an image becomes the network's input tensor.

    A tensor value is (level − ``mean``) · ``scale``, levels from 0 to 255.

    Attributes:
        size: (W, H) of the tensor in pixels.
        resize: ``stretch`` scales each axis by itself; ``crop`` takes the largest centred part of the tensor's aspect
            ratio, to whole pixels, and scales it; ``letterbox`` scales the whole image to fit, its size rounded to
            whole pixels, centres it and pads with ``padding_value``; ``cut`` takes the top-left W×H pixels unscaled.
        interpolation: ``linear`` is ``cv2.INTER_LINEAR``, with which DepthAI's STRETCH agrees to the pixel; ``area`` is
            ``cv2.INTER_AREA``, and INTER_LINEAR where an axis grows, for which there is no area to average.
        colour: channels of the tensor. ``grey`` is one, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded as
            ``cv2.COLOR_BGR2GRAY`` does; made before resizing, as in the original demo and in the camera. ``bgr`` and
            ``rgb`` are three in that order, each resized by itself; of a grey image all three are its grey.
        scale: factor, 1/255 for networks that take [0, 1]; one for all channels, or one for each in their order.
        mean: subtracted before scaling, in levels from 0 to 255; one for all channels, or one for each.
        padding_value: level of the letterbox's borders in every channel, 0 to 255.
        baked: whether ``mean`` and ``scale`` lie within the graph; the tensor is then uint8, levels as they are.
        layout: order of the tensor's axes: ``nchw`` (1, C, H, W) or ``nhwc`` (1, H, W, C).

    Raises:
        UsageError: an unknown name, a size that is not positive, a number out of range, or as many numbers as there are
            no channels.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # a manifest with a key too many is refused

    size: tuple[int, int]
    resize: Resize
    interpolation: Interpolation
    colour: Colour = "grey"
    scale: PerChannel = 1 / 255
    mean: PerChannel = 0.0
    padding_value: int = 0
    baked: bool = False
    layout: Layout = "nchw"

    def __post_init__(self) -> None:
        for name, choice in _CHOICES.items():
            if getattr(self, name) not in get_args(choice):
                raise UsageError(f"{name}: expected one of {', '.join(get_args(choice))}, got {getattr(self, name)!r}")
        _check_size(self.size)
        scales, means = (self._for_each_channel(name) for name in ("scale", "mean"))
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise UsageError(f"scale: expected a positive factor such as 1/255, got {self.scale}")
        if not np.isfinite(means).all():
            raise UsageError(f"mean: expected a grey level, got {self.mean}")
        if not 0 <= self.padding_value <= 255:
            raise UsageError(f"padding_value: expected a grey level from 0 to 255, got {self.padding_value}")

    @property
    def channels(self) -> int:
        """Channels of the tensor: 1 or 3."""
        return 1 if self.colour == "grey" else 3

    @property
    def tensor_shape(self) -> tuple[int, int, int, int]:
        """Shape of the tensor of one image, as ``layout`` orders it."""
        width, height = self.size
        return (1, self.channels, height, width) if self.layout == "nchw" else (1, height, width, self.channels)

    def facts(self) -> dict[str, Any]:
        """Every attribute by name, as it stands in a manifest; ``layout`` only where it is not the usual ``nchw``.

        Earlier versions knew no layout, and what they wrote is to be the same still.
        """
        return _without_usual_layout(asdict(self))

    @model_serializer(mode="wrap")
    def _serialised(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """For pydantic; see ``facts``."""
        return _without_usual_layout(write(self))

    def _for_each_channel(self, name: Literal["mean", "scale"]) -> NDArray[np.float64]:
        """``mean`` or ``scale`` of each channel, float64 (C,)."""
        given = getattr(self, name)
        values = np.atleast_1d(np.asarray(given, np.float64))
        if values.size not in (1, self.channels) or (self.channels == 1 and isinstance(given, tuple)):
            wanted = "one number" if self.channels == 1 else f"one number, or one for each of {', '.join(self.colour)}"
            raise UsageError(f"{name}: expected {wanted} (colour {self.colour}), got {given}")
        return np.broadcast_to(values, (self.channels,))

    def apply(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32] | NDArray[np.uint8], PixelMap]:
        """The tensor of an image, and the map that takes pixels of the tensor to pixels of the image.

        Args:
            image: uint8 (H', W') or (H', W', 3) in the order blue, green, red, of any size; for ``cut`` at least
                that of the tensor.

        Returns:
            The tensor of ``tensor_shape``, C-contiguous: float32, or uint8 when ``baked``; and
            ``original_from_tensor``.

        Raises:
            ImageError: another type, rank or number of channels, no pixels, or too small to cut.
        """
        check_image(image)
        height, width = image.shape[:2]
        original_from_tensor = self.original_from_tensor((width, height))
        (left, top, w, h), (to_left, to_top, to_w, to_h) = self._boxes((width, height))
        part = image[top : top + h, left : left + w]
        contents = [self._resized(plane, (to_w, to_h)) for plane in self._planes(part)]
        if self.channels == 1 and (to_w, to_h) == self.size:
            levels = contents[0][..., np.newaxis]
        else:
            levels = np.full((self.size[1], self.size[0], self.channels), self.padding_value, np.uint8)
            for channel, content in enumerate(contents):
                levels[to_top : to_top + to_h, to_left : to_left + to_w, channel] = content
        if self.baked:
            own = levels.copy() if np.may_share_memory(levels, image) else levels
            return self._ordered(own), original_from_tensor
        values = np.asarray(cv2.LUT(levels, self._values()), np.float32)
        return self._ordered(values.reshape(levels.shape)), original_from_tensor

    def _planes(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], ...]:
        """What is resized, (H', W') for each channel of the tensor in their order."""
        if self.colour == "grey":
            return (grey_from_image(image),)
        if image.ndim == 2:
            return (np.ascontiguousarray(image),) * self.channels
        planes = tuple(np.ascontiguousarray(image[..., channel]) for channel in range(self.channels))
        return planes if self.colour == "bgr" else planes[::-1]

    def _ordered(self, values: NDArray[_Number]) -> NDArray[_Number]:
        """(H, W, C) with its axes in the tensor's order."""
        return np.ascontiguousarray(values if self.layout == "nhwc" else values.transpose(2, 0, 1))[np.newaxis]

    def original_from_tensor(self, image_size: tuple[int, int]) -> PixelMap:
        """The map from pixels of the tensor to pixels of an image of (W', H'), for whoever resizes elsewhere.

        Points in a letterbox's borders come out beyond the image's edges.

        Raises:
            ImageError: the image is too small to cut.
        """
        (left, top, w, h), (to_left, to_top, to_w, to_h) = self._boxes(image_size)
        part_from_original = cropped_from_full(left, top)
        content_from_part = resized_from_original((w, h), (to_w, to_h))
        tensor_from_content = cropped_from_full(-to_left, -to_top)
        return (tensor_from_content @ content_from_part @ part_from_original).inverse()

    def _boxes(self, image_size: tuple[int, int]) -> tuple[_Box, _Box]:
        """The part of the image that is used, and the part of the tensor that it fills."""
        (width, height), (to_width, to_height) = image_size, self.size
        whole, filled = (0, 0, width, height), (0, 0, to_width, to_height)
        if self.resize == "crop":
            shrink = max(to_width / width, to_height / height)
            w = min(width, max(1, round(to_width / shrink)))
            h = min(height, max(1, round(to_height / shrink)))
            whole = ((width - w) // 2, (height - h) // 2, w, h)
        elif self.resize == "letterbox":
            shrink = min(to_width / width, to_height / height)
            w = min(to_width, max(1, round(width * shrink)))
            h = min(to_height, max(1, round(height * shrink)))
            filled = ((to_width - w) // 2, (to_height - h) // 2, w, h)
        elif self.resize == "cut":
            if width < to_width or height < to_height:
                raise ImageError(
                    f"image: expected at least {to_width}×{to_height} px to cut the tensor from, got {width}×{height}"
                )
            whole = (0, 0, to_width, to_height)
        return whole, filled

    def _resized(self, grey: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        height, width = grey.shape
        if (width, height) == size:
            return grey
        shrinks = size[0] <= width and size[1] <= height
        method = cv2.INTER_AREA if self.interpolation == "area" and shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(grey, size, interpolation=method), np.uint8)

    def _values(self) -> NDArray[np.float32]:
        """The tensor's value of each level: float32 (1, 256, C)."""
        mean, scale = (tuple(self._for_each_channel(name).tolist()) for name in ("mean", "scale"))
        return _values_of_levels(mean, scale)


@lru_cache(maxsize=64)
def _values_of_levels(mean: tuple[float, ...], scale: tuple[float, ...]) -> NDArray[np.float32]:
    """See ``Preprocess._values``: computed in float64 and rounded once; not to be written to."""
    values = (np.arange(256)[:, np.newaxis] - np.array(mean)) * np.array(scale)
    table: NDArray[np.float32] = values.astype(np.float32)[np.newaxis]
    table.flags.writeable = False
    return table


def limited_size(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """(W, H) of an image whose longer side is made ``max_side`` where it is longer; the ratio stays, to whole pixels.

    Source: ``resize_max`` of hloc's ``ImageDataset`` (``hloc/extract_features.py``).
    """
    scale = min(1.0, max_side / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def limited_image(
    image: NDArray[np.uint8], max_side: int, colour: Colour = "grey"
) -> tuple[NDArray[np.uint8], PixelMap]:
    """An image whose longer side is at most ``max_side``: scaled by area averaging where it was longer.

    Args:
        image: uint8 (H, W) or (H, W, 3) in the order blue, green, red.
        max_side: in pixels, 1 or more.
        colour: what is made of it afterwards; for ``grey`` it is made grey before it is scaled.

    Returns:
        The image, itself where it is small enough; and ``original_from_limited``, the map of its pixels.
    """
    height, width = image.shape[:2]
    size = limited_size((width, height), max_side)
    if size == (width, height):
        return image, PixelMap((1.0, 1.0), (0.0, 0.0))
    unscaled = grey_from_image(image) if colour == "grey" else np.ascontiguousarray(image)
    limited = cv2.resize(unscaled, size, interpolation=cv2.INTER_AREA)
    return np.asarray(limited, np.uint8), resized_from_original((width, height), size).inverse()


def grey_from_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey levels, uint8 (H, W), of a grey or BGR image; a grey one is returned as it is.

    Source: 0.299 R + 0.587 G + 0.114 B, the luma of ITU-R BT.601-7, section 2.5.1, as ``cv2.COLOR_BGR2GRAY`` rounds it.
    """
    contiguous = np.ascontiguousarray(image)
    return contiguous if image.ndim == 2 else np.asarray(cv2.cvtColor(contiguous, cv2.COLOR_BGR2GRAY), np.uint8)


def _check_size(size: tuple[int, int]) -> None:
    whole = isinstance(size, tuple) and all(isinstance(side, int) and not isinstance(side, bool) for side in size)
    if not whole or len(size) != 2:
        raise UsageError(f"size: expected (width, height) in whole pixels, got {size!r}")
    if any(side <= 0 for side in size):
        raise UsageError(f"size: expected a positive number of pixels on both sides, got {size[0]}x{size[1]}")
    if size[0] * size[1] > MAX_PIXELS:
        raise UsageError(f"size: expected at most {MAX_PIXELS:,} pixels, got {size[0]}x{size[1]}")


def _without_usual_layout(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if (name, value) != ("layout", "nchw")}
