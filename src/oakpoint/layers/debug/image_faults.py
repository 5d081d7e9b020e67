"""What goes wrong with an image on its way into a network, as inputs that a healthy network would have to be given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import Interface
from oakpoint.images.preprocess import Preprocess

Levels = NDArray[np.float64]
"""Grey levels or colours, 0 to 255, (1, C, H, W)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image on its way into a network.

    Attributes:
        levels: of its pixels.
        mean: what is subtracted from them, (1, C, 1, 1).
        scale: what they are multiplied with then, likewise.
    """

    levels: Levels
    mean: Levels
    scale: Levels


Fault = Callable[[Picture], Levels]
"""A picture to the levels that give a healthy network what the fault would give it."""

FAULTS: Final[Mapping[str, Fault]] = {
    "the image's channels come in another order: RGB for BGR": lambda p: p.levels[:, ::-1],
    "the image is not scaled: levels from 0 to 255 go in (1/255 is missing)": (
        lambda p: (p.levels - p.mean) / p.scale + p.mean
    ),
    "the image is scaled twice": lambda p: (p.levels - p.mean) * p.scale + p.mean,
    "the mean is not subtracted": lambda p: p.levels + p.mean,
    "the mean is subtracted twice": lambda p: p.levels - p.mean,
    "the image goes in as it is: neither is the mean subtracted nor is it scaled": lambda p: (
        p.levels / p.scale + p.mean
    ),
    "mean and scale are those of the channels in another order": (
        lambda p: (p.levels - p.mean[:, ::-1]) * (p.scale[:, ::-1] / p.scale) + p.mean
    ),
    "the means are those of the channels in another order": lambda p: p.levels - p.mean[:, ::-1] + p.mean,
    "the image's channels lie behind its rows and columns (NHWC for NCHW)": lambda p: _misread(p.levels),
}
"""What is said → the levels."""


def faulty_feeds(feed: Tensors, interface: Interface) -> Iterator[tuple[str, Tensors]]:
    """The inputs of one image as they would be by each of ``FAULTS`` that makes a difference.

    Args:
        feed: right inputs.
        interface: of the model that takes them.
    """
    for given in interface.inputs:
        if given.preprocess is None:
            continue
        name = given.tensor.name
        for words, fault in FAULTS.items():
            changed = _changed(feed[name], given.preprocess, fault)
            if not np.array_equal(changed, feed[name]):
                yield words, {**feed, name: changed}


def _changed(tensor: NDArray[Any], preprocess: Preprocess, fault: Fault) -> NDArray[np.float32]:
    """A tensor with a fault; the fault is of the network's mean and scale, wherever they are applied."""
    mean, scale = (_by_channel(values, preprocess.channels) for values in (preprocess.mean, preprocess.scale))
    last = preprocess.layout == "nhwc"
    levels = np.moveaxis(tensor, -1, 1) if last else tensor
    levels = levels.astype(np.float64)
    if preprocess.baked:
        changed = fault(Picture(levels, mean, scale))
    else:
        changed = (fault(Picture(levels / scale + mean, mean, scale)) - mean) * scale
    changed = np.moveaxis(changed, 1, -1) if last else changed
    return np.ascontiguousarray(changed, np.float32)


def _by_channel(values: float | tuple[float, ...], channels: int) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(values, np.float64), (channels,)).reshape(1, -1, 1, 1)


def _misread(levels: Levels) -> Levels:
    """The numbers of (1, C, H, W) read as if they were (1, H, W, C)."""
    count, channels, height, width = levels.shape
    return np.moveaxis(levels.reshape(count, height, width, channels), -1, 1)
