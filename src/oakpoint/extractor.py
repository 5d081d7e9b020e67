"""Image in, features out: a predictor of keypoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, final

from oakpoint.backends.base import Backend
from oakpoint.backends.limit import MemoryLimit
from oakpoint.bundle.interface import Interface, image_interface
from oakpoint.features.types import DecodeOptions, Features, Outputs
from oakpoint.geometry import PixelMap
from oakpoint.images.inputs import Given
from oakpoint.images.preprocess import Preprocess
from oakpoint.predictor import ModelIdentity, Predictor
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.task import INPUT, Keypoints

if TYPE_CHECKING:
    from typing_extensions import Self


@final
class Extractor(Predictor[Features]):
    """Calls like ``features = extractor(image)``; keypoints are in pixels of the image that was given.

    See ``Predictor`` for what it does with threads and sizes.
    """

    task: Keypoints

    def __init__(
        self,
        open_at: Callable[[tuple[int, int]], Backend],
        *,
        preprocess: Preprocess,
        decode: DecodeOptions,
        task: Keypoints | None = None,
        input_name: str = INPUT,
        native: bool = False,
        max_side: int | None = None,
        memory: MemoryLimit | None = None,
        runtime: str = "",
        identify: Callable[[], ModelIdentity] | None = None,
        in_flight: int = 1,
        open_alone_at: Callable[[tuple[int, int]], Backend] | None = None,
    ) -> None:
        """Put an extractor together; no model is opened before the first image.

        Args:
            open_at: see ``Predictor``.
            preprocess: how an image becomes the input tensor; its size does not count when ``native``.
            decode: how outputs become keypoints.
            task: in which form they come; None for cells.
            input_name: name of the input tensor.
            native: see ``Predictor``.
            max_side: see ``Predictor``.
            memory: see ``Predictor``.
            runtime: see ``Predictor``.
            identify: see ``Predictor``.
            in_flight: see ``Predictor``.
            open_alone_at: see ``Predictor``.
        """
        super().__init__(
            open_at,
            interface=image_interface(input_name, preprocess),
            task=replace(task or Keypoints(decode=decode), decode=decode),
            native=native,
            max_side=max_side,
            memory=memory,
            runtime=runtime,
            identify=identify,
            in_flight=in_flight,
            open_alone_at=open_alone_at,
        )

    @property
    def decode(self) -> DecodeOptions:
        """How outputs become keypoints."""
        return self.task.decode

    @decode.setter
    def decode(self, options: DecodeOptions) -> None:
        self.task = replace(self.task, decode=options)

    def dense(self, image: Given) -> tuple[Outputs, PixelMap]:
        """The network's outputs before decoding, and the map from the tensor's pixels to the image's."""
        tensors, original_from_tensor = self.tensors(image)
        return self.task.outputs(tensors), original_from_tensor

    def _reading(self) -> dict[str, object]:
        """As features files have noted it from the beginning."""
        return {f"decode {name}": value for name, value in asdict(self.decode).items()}

    def __enter__(self) -> Self:
        return self


def predictor_for(
    open_at: Callable[[tuple[int, int]], Backend], *, interface: Interface, task: Task[Any], **options: Any
) -> Predictor[Any]:
    """A predictor for a task: an ``Extractor`` where it is keypoints.

    Args:
        open_at: see ``Predictor``.
        interface: see ``Predictor``.
        task: see ``Predictor``.
        **options: see ``Predictor``.
    """
    if not isinstance(task, Keypoints):
        return Predictor(open_at, interface=interface, task=task, **options)
    name = interface.inputs[0].tensor.name
    return Extractor(open_at, preprocess=interface.image, decode=task.decode, task=task, input_name=name, **options)
