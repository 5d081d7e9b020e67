"""The camera's network on frames of the host: XLink input queue → network → queue. No sensor takes part.

This is how the chip's own outputs are compared with the simulator's, and its speed measured without a lens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend, Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import DeviceError, UsageError
from oakpoint.oak.camera import add_network, begun_pipeline, read_network
from oakpoint.oak.device import device_facts
from oakpoint.oak.faults import running_fault, stalled_fault
from oakpoint.oak.frames import frame_of_network
from oakpoint.oak.model import DeviceModel
from oakpoint.oak.options import OakOptions
from oakpoint.oak.replay import host_pipeline
from oakpoint.oak.runtime import import_depthai, stop_pipeline
from oakpoint.oak.tensors import tensors_from_nn_data

TIMEOUT_S = 15.0
"""How long one result may take. The first takes the chip a few seconds."""


@final
class HostFramesBackend(Backend):
    """A started pipeline that takes a tensor of levels, uint8 (1, C, H, W), and gives the network's outputs.

    Attributes:
        facts: what is known of the camera or its stand-in.
    """

    def __init__(
        self,
        pipeline: Any,
        frames: Any,
        results: Any,
        model: DeviceModel,
        *,
        description: str,
        facts: dict[str, object],
        guarded: Sequence[Any] = (),
        timeout_s: float = TIMEOUT_S,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        """Take a pipeline that was started.

        Args:
            pipeline: the ``depthai.Pipeline``.
            frames: its input queue, for ``ImgFrame``.
            results: its output queue, of ``NNData``.
            model: what runs.
            description: camera or stand-in, for people.
            facts: what is known of it.
            guarded: nodes whose ``failure`` is raised here.
            timeout_s: how long one result may take.
            close: called after the pipeline was stopped.
        """
        self.description = description
        self.facts = facts
        self.inputs = (TensorSpec(model.input_name, "uint8", model.preprocess.tensor_shape),)
        self._colour = model.preprocess.colour
        self.outputs = model.outputs
        self._pipeline = pipeline
        self._frames = frames
        self._results = results
        self._guarded = guarded
        self._timeout = timedelta(seconds=timeout_s)
        self._close: Callable[[], object] | None = close
        self._sent = 0
        self._received = 0
        self._streaming = False

    def __enter__(self) -> HostFramesBackend:
        return self

    def stream(self, tensors: Iterable[NDArray[np.uint8]], *, in_flight: int) -> Iterator[Tensors]:
        """The outputs of one tensor after the other, with up to ``in_flight`` of them under way at a time.

        Raises:
            DeviceError: the camera is gone, or gives a result for another frame.
            UsageError: another stream or run is under way.
        """
        if not self._turn.acquire(blocking=False):
            raise UsageError(f"{self.description}: another run is under way; end it before a stream begins")
        self._streaming = True
        try:
            self._drop_left()
            for tensor in tensors:
                if self._sent - self._received >= in_flight:
                    yield self._receive()
                self._send(tensor)
            while self._received < self._sent:
                yield self._receive()
        finally:
            self._streaming = False
            self._turn.release()

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        """See ``Backend.run``.

        Raises:
            UsageError: a stream is under way.
        """
        if self._streaming:
            raise UsageError(f"{self.description}: a stream of frames is under way; end it before another run")
        return super().run(tensors)

    def close(self) -> None:
        """Stop the pipeline and give the camera back; once."""
        close, self._close = self._close, None
        if close is not None:
            try:
                stop_pipeline(self._pipeline)
            finally:
                close()

    def _run(self, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        self._drop_left()
        self._send(tensors[self.inputs[0].name])
        return self._receive()

    def _drop_left(self) -> None:
        """Take results of frames whose stream was not followed to its end; they are not the next frame's."""
        while self._received < self._sent:
            self._receive()

    def _send(self, tensor: NDArray[np.uint8]) -> None:
        frame = frame_of_network(tensor, self._colour)
        frame.setSequenceNum(self._sent)
        frame.setTimestamp(import_depthai().Clock.now())
        self._sent += 1
        self._guard(lambda: self._frames.send(frame))

    def _receive(self) -> Tensors:
        data = self._guard(lambda: self._results.get(self._timeout))
        if data is None:
            raise stalled_fault(self._timeout.total_seconds())
        expected, got = self._received, data.getSequenceNum()
        self._received += 1
        if got != expected:
            raise DeviceError(f"{self.description}: expected the result of frame {expected}, got that of frame {got}")
        return tensors_from_nn_data(data, self.outputs)

    def _guard(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (import_depthai().MessageQueue.QueueException, RuntimeError) as error:
            for node in self._guarded:
                node.raise_failure()
            raise running_fault(f"Communication exception: {error}") from error


def open_host_frames(model: DeviceModel, options: OakOptions, *, depthai: Any = None) -> HostFramesBackend:
    """Open a camera for frames of the host.

    Args:
        model: from ``open_device_model``.
        options: camera and pipeline; sensor and preview do not count.
        depthai: the module, or what stands for it in tests.

    Raises:
        MissingExtraError, UsageError, DeviceError, BackendError: see ``open_camera``.
    """
    depthai = depthai or import_depthai()
    give_network = read_network(depthai, model, options)
    with begun_pipeline(depthai, options, advice="--usb2, or a bundle for fewer --shaves") as (device, pipeline):
        network = add_network(depthai, pipeline, give_network, options)
        frames = network.input.createInputQueue(maxSize=4, blocking=True)
        results = network.out.createOutputQueue(maxSize=4, blocking=True)
        pipeline.start()
        facts = device_facts(depthai, device)
    description = f"{facts['camera']} {facts['id']}, frames from the host over USB {facts['usb_speed']}"
    return HostFramesBackend(pipeline, frames, results, model, description=description, facts=facts, close=device.close)


def open_host_frames_stand_in(model: DeviceModel, backend: Backend) -> HostFramesBackend:
    """The same with a stand-in for the network, in DepthAI's runtime on the host.

    Args:
        model: from ``open_stand_in``.
        backend: likewise; it stays the caller's to close.

    Raises:
        MissingExtraError: depthai is not installed.
    """
    from oakpoint.oak.stand_in import NetworkStandIn

    pipeline = host_pipeline()
    network = pipeline.create(NetworkStandIn).build(backend, model.preprocess)
    frames = network.input.createInputQueue(maxSize=4, blocking=True)
    results = network.out.createOutputQueue(maxSize=4, blocking=True)
    pipeline.start()
    version = import_depthai().__version__
    return HostFramesBackend(
        pipeline,
        frames,
        results,
        model,
        description=f"depthai {version} on the host, network: {backend.description}",
        facts={"camera": "stand-in", "depthai": version},
        guarded=(network,),
        timeout_s=600.0,
    )
