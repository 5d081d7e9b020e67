"""The one host node for cameras and for pipelines without one: ``NNData`` in, what the task reads of it out.

>>> network = pipeline.create(dai.node.NeuralNetwork).build(camera_output, dai.NNArchive(archive))  # doctest: +SKIP
>>> keypoints = pipeline.create(KeypointsNode).build(network.out, open_device_model("bundle"))  # doctest: +SKIP
>>> queue = keypoints.out.createOutputQueue()  # doctest: +SKIP
>>> message = queue.get()  # doctest: +SKIP
... print(message.keypoints, message.scores, message.descriptors)

depthai ends the whole process when an exception leaves a node; ours keep theirs, stop the pipeline, and raise it again
from ``raise_failure``.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.errors import OakpointError
from oakpoint.features.types import Features
from oakpoint.geometry import PixelMap
from oakpoint.oak.frames import IDENTITY, shown_from_network
from oakpoint.oak.model import DeviceModel
from oakpoint.oak.runtime import import_depthai
from oakpoint.oak.tensors import tensors_from_nn_data
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.task import require_keypoints
from oakpoint.tasks.reading import Reading

if TYPE_CHECKING:
    from typing_extensions import Self

dai = import_depthai()

WAITING = 16
"""Results that wait while the host reads them; see ``ResultsNode.build``."""

_log = logging.getLogger(__name__)


class GuardedNode(dai.node.ThreadedHostNode):  # type: ignore[misc, name-defined]  # depthai's classes are untyped here
    """A host node in a thread of its own whose exceptions do not end the process.

    Attributes:
        failure: what ended the node; None while nothing has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None

    def run(self) -> None:
        """Work until the pipeline stops; called by depthai in the node's thread."""
        try:
            self.work()
        except dai.MessageQueue.QueueException:
            return  # the pipeline was stopped
        except Exception as error:  # noqa: BLE001  # see the module: it would abort the process
            if not isinstance(error, OakpointError):
                _log.exception("%s failed", type(self).__name__)
            self.failure = error
            self.stopPipeline()

    def raise_failure(self) -> None:
        """Raise what ended the node, if anything did; to be called when the pipeline has stopped."""
        if self.failure is not None:
            raise self.failure

    @abstractmethod
    def work(self) -> None:
        """Take messages and send others while ``self.mainLoop()`` holds."""


class ResultMessage(dai.Buffer):  # type: ignore[misc, name-defined]
    """What was found in one frame; sequence number and timestamps are the frame's.

    Attributes:
        result: what the task reads, in pixels of the network's input: ``Boxes``, ``Mask``, ``Classes``, ``Features``.
        tensors: the network's outputs, for who reads them with other parameters.
        transformation: how the network's input came about from the sensor's frame; None where depthai did not say.
        serial: 0, 1, 2, … in the order in which the node sent them; a gap is what a queue threw away.
        dropped: results that the node left out so far because a later one had come.
        latency_s: seconds from the capture to the end of decoding.
    """

    def __init__(
        self,
        task: Task[Any],
        result: Any,
        tensors: Tensors,
        transformation: Any,
        serial: int,
        dropped: int,
        latency_s: float,
    ) -> None:
        super().__init__(0)
        self._task = task
        self.result = result
        self.tensors = tensors
        self.transformation = transformation
        self.serial = serial
        self.dropped = dropped
        self.latency_s = latency_s

    def result_in(self, frame: Any) -> Any:
        """The same result in pixels of another ``ImgFrame`` of the same sensor, such as a larger one to draw on.

        Raises:
            BackendError: depthai did not record how one of the two was scaled, or they are of two sensors.
        """
        return self.reading_in(frame).result(self._task)

    def reading_in(self, frame: Any) -> Reading[Any]:
        """The network's outputs, to be read in pixels of another ``ImgFrame``; see ``result_in``."""
        place = shown_from_network(frame.getTransformation(), self.transformation)
        return self._reading(place, (frame.getWidth(), frame.getHeight()))

    def reading_in_input(self, size: tuple[int, int]) -> Reading[Any]:
        """The same in pixels of the network's input of (W, H), to draw on it."""
        return self._reading(IDENTITY, size)

    def _reading(self, place: PixelMap, size: tuple[int, int]) -> Reading[Any]:
        known = (self._task, self.result)
        return Reading(tensors=self.tensors, original_from_tensor=place, image_size=size, known=known)


@final
class KeypointsMessage(ResultMessage):
    """What was found in one frame by a network with keypoints; see ``ResultMessage``."""

    @property
    def features(self) -> Features:
        """Keypoints in pixels of the network's input, scores and descriptors; see ``Features``."""
        return self.result  # type: ignore[no-any-return]

    @property
    def keypoints(self) -> NDArray[np.float32]:
        """(N, 2), (x, y) in pixels of the network's input, origin at the centre of its top-left pixel."""
        return self.features.keypoints

    @property
    def scores(self) -> NDArray[np.float32]:
        """(N,) in [0, 1], descending."""
        return self.features.scores

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """(N, D), each of unit L2 norm."""
        return self.features.descriptors

    def features_in(self, frame: Any) -> Features:
        """See ``result_in``."""
        return self.result_in(frame)  # type: ignore[no-any-return]


class ResultsNode(GuardedNode):
    """Reads what a ``NeuralNetwork`` node, or its stand-in, puts out, as the network's task does.

    Attributes:
        input: takes ``NNData``.
        out: sends ``ResultMessage``.
    """

    _message_type: type[ResultMessage] = ResultMessage

    def __init__(self) -> None:
        super().__init__()
        self.input = self.createInput("in")
        self.out = self.createOutput("out")
        self._model: DeviceModel | None = None
        self._latest_only = True

    def build(self, network_out: Any, model: DeviceModel, *, latest_only: bool = True) -> Self:
        """Link and configure; returns the node.

        Args:
            network_out: the output ``out`` of a ``NeuralNetwork`` node.
            model: from ``open_device_model``.
            latest_only: when the host is slower than the camera, read the latest result and count the others in
                ``dropped``; False reads every one, and lets the network wait.
        """
        self._model, self._latest_only = model, latest_only
        self.input.setBlocking(not latest_only)
        self.input.setMaxSize(WAITING)
        network_out.link(self.input)
        return self

    def work(self) -> None:
        """Read result by result."""
        assert self._model is not None, "build comes before start"
        tail = self._model.open_tail()
        try:
            self._read_with(tail)
        finally:
            if tail is not None:
                tail.close()

    def _read_with(self, tail: Backend | None) -> None:
        serial = dropped = 0
        while self.mainLoop():
            results = self.input.getAll() if self._latest_only else [self.input.get()]
            dropped += len(results) - 1
            self.out.send(self._message(results[-1], serial, dropped, tail))
            serial += 1

    def _message(self, data: Any, serial: int, dropped: int, tail: Backend | None = None) -> ResultMessage:
        assert self._model is not None, "build comes before start"
        task = self._model.task
        tensors = self._model.whole(tensors_from_nn_data(data, self._model.outputs), tail)
        result = task.read(tensors)
        latency_s = (dai.Clock.now() - data.getTimestamp()).total_seconds()
        message = self._message_type(task, result, tensors, data.getTransformation(), serial, dropped, latency_s)
        message.setSequenceNum(data.getSequenceNum())
        message.setTimestamp(data.getTimestamp())
        message.setTimestampDevice(data.getTimestampDevice())
        return message


@final
class KeypointsNode(ResultsNode):
    """As ``ResultsNode``, for networks with keypoints: sends ``KeypointsMessage``."""

    _message_type = KeypointsMessage

    def build(self, network_out: Any, model: DeviceModel, *, latest_only: bool = True) -> Self:
        """See ``ResultsNode.build``.

        Raises:
            UsageError: the network has no keypoints.
        """
        require_keypoints(model.task, str(model.bundle.folder), "ResultsNode sends what it finds")
        return super().build(network_out, model, latest_only=latest_only)
