"""What is measured: a network at one size, on some images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.registry import RuntimeOptions
from oakpoint.bench.host.contenders import Contender
from oakpoint.errors import UsageError
from oakpoint.images.sizes import size_or_native
from oakpoint.models.base import ModelOptions
from oakpoint.models.naming import model_of
from oakpoint.tasks.base import Task

DEFAULT_SIZE: Final = (640, 480)
"""Of a network that takes images of any size."""

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A network as it was named; it can be handed to another process.

    Attributes:
        model: MODEL.
        said: what was said of it.
        size: (W, H) of its images in pixels.
    """

    model: str
    said: ModelOptions
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured.

    Attributes:
        ours: the network.
        theirs: the network of the tutorial's way, at the same size; None where that is not asked for.
        task: what the network's outputs mean.
        images: by name, uint8 (H, W) or (H, W, 3) BGR; at least one.
    """

    ours: Named
    theirs: Named | None
    task: Task[Any]
    images: Mapping[str, Image]

    def of(self, contender: Contender) -> Named:
        """The network that a contender runs."""
        return self.theirs if contender.way.tutorial and self.theirs is not None else self.ours


def subject_of(
    model: str,
    said: ModelOptions,
    size: str | None,
    *,
    images: Mapping[str, Image],
    tutorial: tuple[str, ModelOptions] | None,
) -> Subject:
    """Find out what is to be measured; nothing is opened to run yet.

    Args:
        model: MODEL.
        said: what was said of it.
        size: WIDTHxHEIGHT; None for the network's own, or ``DEFAULT_SIZE`` where it has none.
        images: to measure on.
        tutorial: the network that the tutorial's way runs, and what was said of it; None: there is no such row.

    Raises:
        UsageError: no network, one that takes no image, a size that it does not take, or no images.
        OakpointError: it cannot be read.
    """
    asked = size_or_native(size)
    if asked == "native":
        raise UsageError("--size: expected WIDTHxHEIGHT, got native; all images are measured at one size")
    found = model_of(model, said).runnable(RuntimeOptions(backend="onnxruntime"))
    if found.interface.size is None:
        raise UsageError(f"{model}: expected a network that takes an image, and it takes none")
    chosen = found.task.require_size(asked or (found.interface.size if found.has_size else DEFAULT_SIZE))
    theirs = None if tutorial is None else Named(model=tutorial[0], said=tutorial[1], size=chosen)
    return Subject(ours=Named(model=model, said=said, size=chosen), theirs=theirs, task=found.task, images=images)
