"""Image in, features out: a predictor of keypoints."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, final

from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.limit import MemoryLimit
from oakpoint.bundle.interface import Interface, image_interface
from oakpoint.errors import UsageError
from oakpoint.features.types import DecodeOptions, Features, Outputs
from oakpoint.geometry import PixelMap
from oakpoint.images.inputs import Given, image_from
from oakpoint.images.preprocess import Preprocess
from oakpoint.pipeline import Stage
from oakpoint.predictor import MAX_CACHED_SIZES, ModelIdentity, Predictor
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.fused.running import WholeModels, levels_of
from oakpoint.tasks.keypoints.task import INPUT, Keypoints
from oakpoint.tasks.reading import Reading

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """An image for a graph that scales its levels and decodes.

    Attributes:
        interface: of the network, at the image's size.
        tensors: its levels, uint8, by the input's name.
        original_from_tensor: the map from the tensor's pixels to the image's.
    """

    interface: Interface
    tensors: Mapping[str, NDArray[Any]]
    original_from_tensor: PixelMap


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
        open_whole: Callable[[Interface, Keypoints], Backend] | None = None,
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
            open_whole: opens the model with decoding in its graph, for what it takes (at the size of an image) and for
                how it is decoded; None: what is decoded is decoded in NumPy. Dense outputs and readings are those of
                ``open_at`` all the same.
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
        self._whole = None
        if open_whole is not None:
            self._whole = WholeModels(open_whole, self._make_room, kept=MAX_CACHED_SIZES)

    def __call__(self, image: Given) -> Features:
        """See ``Predictor``."""
        if self._whole is None:
            return super().__call__(image)
        return self.final_reading(image).result(self.task)

    def final_reading(self, image: Given) -> Reading[Features]:
        """See ``Predictor``: with decoding in the graph there are no tensors, only what was found."""
        if self._whole is None:
            return super().final_reading(image)
        image, task = image_from(image), self.task
        levels = self.levels(image)
        return Reading(
            tensors={},
            original_from_tensor=levels.original_from_tensor,
            image_size=(image.shape[1], image.shape[0]),
            known=(task, self._whole.run(levels.interface, task, levels.tensors)),
        )

    def levels(self, image: Given) -> Levels:
        """What a graph with decoding in it takes of an image, the first step of its way; see ``__call__``."""
        image = image_from(image)
        interface = self._interface_for((image.shape[1], image.shape[0]))
        return Levels(interface, *self._inputs(levels_of(interface), image))

    def found_in_graph(self, levels: Levels) -> Features:
        """What the graph with decoding in it gives, in pixels of the tensor; the second step of its way.

        Raises:
            UsageError: decoding is not in the graph, or the graph cannot decode so.
            BackendError: the model fails.
        """
        if self._whole is None:
            raise UsageError('decoding: expected an extractor with decoding="graph", got one that decodes in NumPy')
        return self._whole.run(levels.interface, self.task, levels.tensors)

    def map(self, images: Iterable[Given]) -> Generator[Features, None, None]:
        """See ``Predictor``."""
        if self._whole is None:
            return super().map(images)
        return self._overlapped(images, Stage(self, workers=self.in_flight, name="network"))

    def open_for(self, image: Given) -> None:
        """See ``Predictor``."""
        if self._whole is None:
            super().open_for(image)
        else:
            height, width = image_from(image).shape[:2]
            self._whole.open(self._interface_for((width, height)), self.task)

    def description(self) -> str:
        """See ``Predictor``."""
        known = None if self._whole is None else self._whole.description()
        return known or super().description()

    def close(self) -> None:
        """See ``Predictor``."""
        super().close()
        if self._whole is not None:
            self._whole.close()

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
