"""Models with decoding in their graph, for images of several sizes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, final

from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.cache import BackendCache, Size
from oakpoint.bundle.interface import Interface
from oakpoint.errors import BackendError
from oakpoint.features.types import Features
from oakpoint.tasks.keypoints.fused.decoding import DESCRIPTORS, KEYPOINTS, OUTPUTS, SCORES
from oakpoint.tasks.keypoints.task import Keypoints


def levels_of(interface: Interface) -> Interface:
    """The interface of a network whose image is given as its levels, uint8: the graph scales them."""
    preprocess = replace(interface.image, baked=True)
    given = replace(interface.inputs[0], preprocess=preprocess)
    tensor = replace(given.tensor, dtype="uint8", shape=preprocess.tensor_shape)
    return replace(interface, inputs=(replace(given, tensor=tensor),))


def features_found(tensors: Tensors, size: Size) -> Features:
    """What a decoding graph gives, as features in pixels of its image.

    Args:
        tensors: its outputs.
        size: (W, H) of the image in pixels.

    Raises:
        BackendError: outputs of another kind of network.
    """
    shapes = {name: tensors[name].shape for name in OUTPUTS if name in tensors}
    count = shapes.get(SCORES, ())
    if len(shapes) != len(OUTPUTS) or len(count) != 1 or shapes[KEYPOINTS] != (*count, 2):
        given = ", ".join(f"{name} {'x'.join(map(str, array.shape))}" for name, array in tensors.items())
        raise BackendError(f"expected keypoints (N, 2), scores (N,) and descriptors (N, D), got {given}")
    if len(shapes[DESCRIPTORS]) != 2 or shapes[DESCRIPTORS][:1] != count:
        raise BackendError(f"descriptors: expected {count[0]} of them, got the shape {shapes[DESCRIPTORS]}")
    return Features(tensors[KEYPOINTS], tensors[SCORES], tensors[DESCRIPTORS], size)


@final
class WholeModels:
    """Opens a model for each size, and new ones when its options of decoding have changed, which are part of a graph.

    Args:
        open_whole: opens the model for what it takes at a size, and for how it is decoded.
        make_room: sees to the memory for a model of a size.
        kept: models of as many sizes are kept ready.
    """

    def __init__(
        self, open_whole: Callable[[Interface, Keypoints], Backend], make_room: Callable[[Size], None], *, kept: int
    ) -> None:
        self._open_whole, self._make_room, self._kept = open_whole, make_room, kept
        self._lock = threading.Lock()
        self._current: tuple[Keypoints, BackendCache] | None = None

    def run(self, interface: Interface, task: Keypoints, given: Mapping[str, NDArray[Any]]) -> Features:
        """What is found in an image, in pixels of the tensor.

        Args:
            interface: of the network, at the image's size.
            task: how it is decoded.
            given: the image's levels, see ``levels_of``.

        Raises:
            UsageError: the graph cannot decode so.
            BackendError: the model fails.
        """
        with self._models(interface, task).lent(interface.image.size) as backend:
            found = backend.run(given)
        return features_found(found, interface.image.size)

    def open(self, interface: Interface, task: Keypoints) -> None:
        """Open the model of a size now."""
        with self._models(interface, task).lent(interface.image.size):
            pass

    def description(self) -> str | None:
        """Of the model that ran last; None where none has been opened."""
        with self._lock:
            models = self._current[1] if self._current is not None else None
        size = None if models is None else models.last_used()
        if models is None or size is None:
            return None
        with models.lent(size) as backend:
            return f"{backend.description}, decoding in the graph"

    def close(self) -> None:
        """Free the models."""
        with self._lock:
            current, self._current = self._current, None
        if current is not None:
            current[1].close()

    def _models(self, interface: Interface, task: Keypoints) -> BackendCache:
        with self._lock:
            former = self._current
            if former is not None and former[0] == task:
                return former[1]

            def opened(size: Size) -> Backend:
                self._make_room(size)
                return self._open_whole(interface.with_preprocess(replace(interface.image, size=size)), task)

            models = BackendCache(opened, kept=self._kept)
            self._current = task, models
        if former is not None:
            former[1].close()
        return models
