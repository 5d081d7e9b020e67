"""Image in, result out: preprocessing, a backend and a task put together."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.backends.cache import BackendCache
from oakpoint.backends.limit import MemoryLimit, MemoryShares
from oakpoint.bundle.interface import Interface
from oakpoint.errors import ImageError, UsageError
from oakpoint.geometry import PixelMap
from oakpoint.images.inputs import Given, image_from
from oakpoint.images.preprocess import Preprocess, limited_image, limited_size
from oakpoint.pipeline import Stage, overlapped
from oakpoint.tasks.base import Result, Task
from oakpoint.tasks.reading import Reading
from oakpoint.threads import one_opencv_thread

MAX_CACHED_SIZES = 8
"""Models of as many image sizes are kept ready when images keep their own size; the one unused longest goes first.

While more threads than that are at work at once, each at another size, there are as many as threads."""

R = TypeVar("R", bound=Result)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What tells a model from others, by content.

    Attributes:
        model: the hash of the files that the runtime reads; or of a network by name, name and weights, and of a class
            of the user's own what its code makes.
        formerly: what features files were bound to before, which says less of the same model.
    """

    model: str
    formerly: str


class Predictor(Generic[R]):
    """Calls like ``result = predictor(image)``; places are in pixels of the image that was given.

    It may be called from several threads, and gives each of them what it would have got alone, to the last bit. Images
    are prepared and results read side by side. Of one size, the network's runs come one after the other with all
    backends but ``onnxruntime`` (see ``Backend.run``): each uses all cores that ``threads`` leaves it. ``in_flight``
    lets OpenVINO have several runs side by side, on cores that are shared out to them; many images then are done
    sooner, and each takes longer. ``map`` takes many images so without threads of one's own.

    Attributes:
        interface: what the model takes: how an image becomes its tensors.
        task: what its outputs mean.
        native: each image is taken at its own size, cut to multiples of the task's step at the right and bottom.
        max_side: a longer image is scaled down to it before that, its ratio kept; None: no image is.
        runtime: backend, device and precision, as asked for.
        in_flight: how many images ``map`` gives the network at a time.
    """

    def __init__(
        self,
        open_at: Callable[[tuple[int, int]], Backend],
        *,
        interface: Interface,
        task: Task[R],
        native: bool = False,
        max_side: int | None = None,
        memory: MemoryLimit | None = None,
        runtime: str = "",
        identify: Callable[[], ModelIdentity] | None = None,
        in_flight: int = 1,
        open_alone_at: Callable[[tuple[int, int]], Backend] | None = None,
    ) -> None:
        """Put a predictor together; no model is opened before the first image.

        Args:
            open_at: opens the model for images of (W, H) pixels.
            interface: what the model takes; the size of its images does not count when ``native``.
            task: what its outputs mean.
            native: take each image at its own size.
            max_side: of the longer side in pixels, when ``native``.
            memory: what a model may take; None: nothing is refused.
            runtime: backend, device and precision, as asked for.
            identify: tells the model from others; None where nothing is kept that must be bound to it.
            in_flight: images that the network works on at a time, at most.
            open_alone_at: opens the model for one run at a time, where there is no memory for ``in_flight`` of them.
        """
        self.interface = interface
        self.task = task
        self.native = native
        self.max_side = max_side
        self._memory = memory
        self.runtime = runtime
        self._identify = identify
        self.in_flight = in_flight
        self._open_at = open_at
        self._open_alone_at = open_alone_at
        self._large: set[tuple[int, int]] = set()
        self._opening = threading.Lock()
        self._memory_shares = MemoryShares(in_flight)
        self._backends = BackendCache(self._open, kept=MAX_CACHED_SIZES)

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes the first input that takes one."""
        return self.interface.image

    def __call__(self, image: Given) -> R:
        """What the network finds in an image.

        Args:
            image: uint8 (H, W) grey or (H, W, 3) BGR; or a file's path, or a Pillow image (``images.inputs``).

        Raises:
            ImageError: another type or shape, a file that cannot be read; when ``native``, smaller than the task's
                step, or so large that the model would take more memory than it may.
            UsageError: the size asked for is so large.
            BackendError: the model fails.
        """
        return self.reading(image).result(self.task)

    def map(self, images: Iterable[Given]) -> Generator[R, None, None]:
        """What the network finds in each of many images, in their order, each worked on while others are.

        >>> for features in extractor.map(images):  # doctest: +SKIP
        ...     print(len(features))

        Images are taken in a thread of their own, at most 2 · ``in_flight`` + 4 of them ahead of the results: a
        generator that reads them reads one meanwhile. They may have sizes of their own. Results are those of calls one
        by one, to the last bit. An error is raised where its image's result would have come, after all results before
        it, and ends the iteration; see ``__call__`` for which. Close the generator where it is left early
        (``contextlib.closing``): what is being worked on is waited for.

        Args:
            images: see ``__call__`` for each.
        """
        read = Stage(lambda reading: reading.result(self.task), workers=self.in_flight, name="decode")
        yield from self._overlapped(images, self._network(), read)

    def readings(self, images: Iterable[Given]) -> Generator[Reading[R], None, None]:
        """What the network gave for each of many images, in their order; see ``map`` and ``reading``."""
        yield from self._overlapped(images, self._network())

    def _network(self) -> Stage:
        return Stage(self.reading, workers=self.in_flight, name="network")

    def _overlapped(self, images: Iterable[Given], *stages: Stage) -> Generator[Any, None, None]:
        with one_opencv_thread(), contextlib.closing(overlapped(images, *stages)) as results:
            yield from results

    def reading(self, image: Given) -> Reading[R]:
        """What the network gave for an image, to be read with this task or others; see ``__call__`` for the rest."""
        image = image_from(image)
        tensors, original_from_tensor = self.tensors(image)
        height, width = image.shape[:2]
        return Reading(tensors=tensors, original_from_tensor=original_from_tensor, image_size=(width, height))

    def final_reading(self, image: Given) -> Reading[R]:
        """As ``reading``, where it is read with this predictor's task and no other, and nothing else is asked of it."""
        return self.reading(image)

    def tensors(self, image: Given) -> tuple[Tensors, PixelMap]:
        """The network's outputs as they are, and the map from the tensor's pixels to the image's."""
        image = image_from(image)
        interface = self._interface_for((image.shape[1], image.shape[0]))
        given, original_from_tensor = self._inputs(interface, image)
        with self._backends.lent(interface.image.size) as backend:
            names = {spec.name for spec in backend.inputs}
            if names != set(given) and len(names) == len(given) == 1:  # a blob by itself has its maker's name for it
                given = dict(zip(names, given.values(), strict=True))
            with self._memory_shares.held(alone=interface.image.size in self._large):
                return backend.run(given), original_from_tensor

    def _inputs(self, interface: Interface, image: NDArray[np.uint8]) -> tuple[Mapping[str, NDArray[Any]], PixelMap]:
        if self.max_side is None:
            return interface.feed(image), interface.original_from_tensor((image.shape[1], image.shape[0]))
        limited, original_from_limited = limited_image(image, self.max_side, interface.image.colour)
        limited_from_tensor = interface.original_from_tensor((limited.shape[1], limited.shape[0]))
        return interface.feed(limited), original_from_limited @ limited_from_tensor

    def check(self, image: Given) -> None:
        """Make sure that an image is one, and large enough.

        Raises:
            ImageError: something else, or smaller than the task's step when ``native``.
        """
        image = image_from(image)
        self._interface_for((image.shape[1], image.shape[0]))

    def open_for(self, image: Given) -> None:
        """Open the model for images of this size now, so that the first run takes no longer than the others.

        Raises:
            ImageError: see ``__call__``.
        """
        with self.lent_for(image):
            pass

    def lent_for(self, image: Given) -> AbstractContextManager[Backend]:
        """The model for images of this size, for whoever runs it by itself; it stays open, and this predictor's.

        Raises:
            ImageError: see ``__call__``.
        """
        image = image_from(image)
        return self._backends.lent(self._interface_for((image.shape[1], image.shape[0])).image.size)

    def description(self) -> str:
        """Runtime, version, device and precision of the model that ran last, or will run first."""
        with self._backends.lent(self._backends.last_used() or self.preprocess.size) as backend:
            return backend.description

    def identity(self) -> dict[str, object]:
        """All that decides on what is found in an image: the model, the runtime, preprocessing and task, by name.

        Raises:
            UsageError: a predictor that was put together without ``identify``.
            BackendError: the model's files cannot be read.
        """
        preprocess = {f"preprocess {name}": value for name, value in self.preprocess.facts().items()}
        preprocess["preprocess max_side"] = self.max_side
        if self.native:
            preprocess |= {"preprocess size": "native", "preprocess resize": "cut"}
        return {"runtime": self.runtime, **preprocess, **self._reading(), "model": self._model().model}

    def _reading(self) -> dict[str, object]:
        """What the task knows of the network, by name."""
        return {f"task {name}": value for name, value in self.task.record().parameters.items()}

    def former_identity(self) -> dict[str, object]:
        """What of ``identity`` earlier features files noted otherwise, with less in it."""
        return {"model": self._model().formerly}

    def _model(self) -> ModelIdentity:
        if self._identify is None:
            raise UsageError(f"{self.runtime}: nothing can be kept of what it finds; use another backend")
        return self._identify()

    def close(self) -> None:
        """Free the models, one that runs in another thread as soon as it is done. A later image opens its own anew."""
        self._backends.close()

    def __enter__(self) -> Predictor[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _interface_for(self, image_size: tuple[int, int]) -> Interface:
        if not self.native:
            return self.interface
        width, height = image_size if self.max_side is None else limited_size(image_size, self.max_side)
        step = self.task.size_step_px
        size = (width // step * step, height // step * step)
        if 0 in size:
            raise ImageError(
                f"expected an image of at least {step}×{step} px, got {width}×{height}; give a size to scale it "
                "to (--size 320x240)"
            )
        return self.interface.with_preprocess(replace(self.preprocess, size=size, resize="cut"))

    def _open(self, size: tuple[int, int]) -> Backend:
        with self._opening:  # or two that are opened at a time would both count on the same memory
            self._make_room(size)
            if self._open_alone_at is None or self._memory is None or self._memory.allows(size, self.in_flight):
                self._large.discard(size)
                return self._open_at(size)
            self._large.add(size)
            return self._open_alone_at(size)

    def _make_room(self, size: tuple[int, int]) -> None:
        """Close models of other sizes, the one unused longest first, until there is memory for one of this size."""
        while self._memory is not None and (reason := self._memory.refusal(size, native=self.native)) is not None:
            if self._memory.stated_gb is not None or not self._backends.close_one_unused():
                raise ImageError(f"image: {reason}") if self.native else UsageError(f"size: {reason}")
