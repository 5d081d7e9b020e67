"""A contender that is open: from an image to a result, whole, or one stage after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, final

from oakpoint.bench.host.contenders import Contender, Way
from oakpoint.bench.host.subject import Image, Named
from oakpoint.bench.host.tutorial import features_of, tensor_of
from oakpoint.errors import UsageError
from oakpoint.extractor import Extractor
from oakpoint.features.decode import in_frame
from oakpoint.features.types import DenseOutputs, Features
from oakpoint.images.preprocess import Preprocess
from oakpoint.loading import load
from oakpoint.predictor import Predictor
from oakpoint.tasks.base import Result
from oakpoint.tasks.keypoints.families.cells import Cells
from oakpoint.tasks.reading import Reading

Clock = Callable[[], float]
"""Seconds, monotonic."""

STAGES: Final = ("preprocess", "network", "decode")
"""The image to the network's tensors; the network alone; its outputs to the result."""


class Opened(ABC):
    """A contender that is ready to run.

    Attributes:
        description: runtime, version, device and precision.
        in_flight: how many images may be under way in it at a time; 1 for what is a loop over images by its nature.
    """

    description: str
    in_flight: int

    @abstractmethod
    def run(self, image: Image) -> Result:
        """What is found in an image, uint8 (H, W) or (H, W, 3) BGR, as a user gets it."""

    @abstractmethod
    def staged(self, image: Image, clock: Clock) -> dict[str, float]:
        """Seconds of each of ``STAGES`` for one image."""

    @abstractmethod
    def close(self) -> None:
        """Free the model."""


class AsLoaded(Opened):
    """What ``oakpoint.load`` gives."""

    def __init__(self, predictor: Predictor[Any]) -> None:
        """Take over a predictor, which is closed with this.

        Args:
            predictor: for images of one size.
        """
        self._predictor = predictor
        self.description = predictor.description()
        self.in_flight = 2  # one is prepared or read while the network has the other

    def run(self, image: Image) -> Result:
        """See ``Opened``."""
        result: Result = self._predictor(image)
        return result

    def staged(self, image: Image, clock: Clock) -> dict[str, float]:
        """See ``Opened``: the steps of ``Predictor.__call__``."""
        predictor, (height, width) = self._predictor, image.shape[:2]
        with predictor.lent_for(image) as backend:
            times = [clock()]
            given = predictor.interface.feed(image)
            original_from_tensor = predictor.interface.original_from_tensor((width, height))
            times.append(clock())
            tensors = backend.run(given)
            times.append(clock())
        reading: Reading[Any] = Reading(
            tensors=tensors, original_from_tensor=original_from_tensor, image_size=(width, height)
        )
        reading.result(predictor.task)
        return _between([*times, clock()])

    def close(self) -> None:
        """See ``Opened``."""
        self._predictor.close()


@final
class InGraph(AsLoaded):
    """The same with all of decoding in the network's graph."""

    def __init__(self, extractor: Extractor) -> None:
        """Take over an extractor, which is closed with this."""
        super().__init__(extractor)
        self._extractor = extractor

    def staged(self, image: Image, clock: Clock) -> dict[str, float]:
        """See ``Opened``: decoding is the network's; what is left of it is the way back to the image's pixels."""
        extractor, (height, width) = self._extractor, image.shape[:2]
        times = [clock()]
        levels = extractor.levels(image)
        times.append(clock())
        found = extractor.found_in_graph(levels)
        times.append(clock())
        extractor.task.in_frame(found, levels.original_from_tensor, (width, height))
        return _between([*times, clock()])


@final
class TutorialWay(Opened):
    """The original tutorial's way around the same runtime; see ``tutorial``."""

    def __init__(self, extractor: Extractor) -> None:
        """Take over an extractor, which is closed with this.

        Args:
            extractor: for images of one size, of a network that the tutorial's way can read.
        """
        self._extractor = extractor
        self.description = f"{extractor.description()}, read in Python"
        self.in_flight = 1  # it is a loop over images

    def run(self, image: Image) -> Features:
        """See ``Opened``."""
        return self._run(image, lambda: 0.0)[0]

    def staged(self, image: Image, clock: Clock) -> dict[str, float]:
        """See ``Opened``."""
        return _between(self._run(image, clock)[1])

    def _run(self, image: Image, clock: Clock) -> tuple[Features, list[float]]:
        extractor, (height, width) = self._extractor, image.shape[:2]
        preprocess = extractor.preprocess
        with extractor.lent_for(image) as backend:
            times = [clock()]
            tensor = tensor_of(image, preprocess.size, preprocess.interpolation)
            times.append(clock())
            tensors = backend.run({backend.inputs[0].name: tensor})
            times.append(clock())
        outputs = extractor.task.outputs(tensors)
        assert isinstance(outputs, DenseOutputs)
        found = features_of(outputs, extractor.decode)
        features = in_frame(found, preprocess.original_from_tensor((width, height)), (width, height))
        return features, [*times, clock()]

    def close(self) -> None:
        """See ``Opened``."""
        self._extractor.close()


def open_contender(named: Named, contender: Contender, image: Image) -> Opened:
    """Open a contender, ready for images like this one.

    Args:
        named: the network, see ``Subject.of``.
        contender: how it runs.
        image: uint8 (H, W) or (H, W, 3) BGR.

    Raises:
        OakpointError: this machine or this model cannot; the message says why, in a line.
    """
    way = contender.way
    predictor = load(
        named.model,
        said=named.said,
        size=named.size,
        backend=way.backend,
        precision=way.precision,
        threads=contender.threads,
        **way.loading,
    )
    try:
        predictor.open_for(image)
        return _opened(predictor, way)
    except BaseException:
        predictor.close()
        raise


def _opened(predictor: Predictor[Any], way: Way) -> Opened:
    """A predictor as a contender.

    Raises:
        UsageError: the way is for other networks.
    """
    if way.tutorial:
        return TutorialWay(_readable(predictor))
    decoding = way.loading.get("decoding")
    if decoding is None:
        return AsLoaded(predictor)
    if not isinstance(predictor, Extractor):
        raise UsageError(f"the network is one for {predictor.task.name}, which is read in NumPy anyway")
    return InGraph(predictor) if decoding == "graph" else AsLoaded(predictor)


def _readable(predictor: Predictor[Any]) -> Extractor:
    """A predictor, if the tutorial's way can stand in its place."""
    if not isinstance(predictor, Extractor):
        raise UsageError(f"the network is one for {predictor.task.name}; the tutorial's way reads keypoints")
    if predictor.task.family != Cells.name:
        raise UsageError(
            f"the network's outputs are of the family {predictor.task.family}; the tutorial's way reads {Cells.name}"
        )
    own = predictor.preprocess
    if own != Preprocess(size=own.size, resize="stretch", interpolation=own.interpolation):
        raise UsageError(
            "the tutorial's way gives a network a grey image in [0, 1], stretched to its size; this one takes another"
        )
    return predictor


def _between(times: list[float]) -> dict[str, float]:
    return {name: end - start for name, start, end in zip(STAGES, times[:-1], times[1:], strict=True)}
