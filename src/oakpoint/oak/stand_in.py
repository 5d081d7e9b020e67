"""Host nodes that take the places of camera and network where there is no device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.images.preprocess import Preprocess
from oakpoint.oak.frames import frame_from_image, frame_of_network, image_from_frame, transformed
from oakpoint.oak.node import GuardedNode
from oakpoint.oak.runtime import import_depthai
from oakpoint.oak.tensors import nn_data_from_tensors

dai = import_depthai()


@final
class ImagesNode(GuardedNode):
    """Sends images as frames 0, 1, 2, …, each as soon as the one before was taken.

    ``depthai.node.ReplayVideo`` does the same for videos, but stops the pipeline with the last frames on their way.

    Attributes:
        out: sends ``ImgFrame``.
        sent: how many frames were sent.
        exhausted: whether there are no more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.out = self.createOutput("out")
        self.sent = 0
        self.exhausted = False
        self._images: Iterable[NDArray[np.uint8]] = ()

    def build(self, images: Iterable[NDArray[np.uint8]]) -> ImagesNode:
        """Take images, uint8 (H, W) or (H, W, 3) BGR; returns the node."""
        self._images = images
        return self

    def work(self) -> None:
        """Send image by image."""
        for image in self._images:
            if not self.mainLoop():
                return
            frame = frame_from_image(image)
            frame.setSequenceNum(self.sent)
            frame.setTimestamp(dai.Clock.now())
            self.sent += 1
            self.out.send(frame)
        self.exhausted = True


@final
class CameraStandIn(GuardedNode):
    """Prepares frames as the camera does: for the network one of its size and colours, by the manifest's preprocessing.

    Attributes:
        input: takes ``ImgFrame``.
        shown: sends the frame as it came.
        network: sends the network's input with its transformation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input = self.createInput("in")
        self.shown = self.createOutput("shown")
        self.network = self.createOutput("network")
        self._preprocess: Preprocess | None = None

    def build(self, frames: Any, preprocess: Preprocess) -> CameraStandIn:
        """Link an output that sends frames; returns the node.

        Args:
            frames: the output.
            preprocess: of the device's artefact: ``baked``.
        """
        assert preprocess.baked, "the camera's input is levels from 0 to 255"
        self._preprocess = preprocess
        frames.link(self.input)
        return self

    def work(self) -> None:
        """Prepare frame by frame."""
        while self.mainLoop():
            frame = self.input.get()
            self.shown.send(frame)
            self.network.send(self._network_input(frame))

    def _network_input(self, frame: Any) -> Any:
        assert self._preprocess is not None, "build comes before start"
        tensor, original_from_tensor = self._preprocess.apply(image_from_frame(frame))
        given = frame_of_network(np.asarray(tensor, np.uint8), self._preprocess.colour)
        tensor_from_original = original_from_tensor.inverse()
        given.setTransformation(transformed(frame.getTransformation(), tensor_from_original, self._preprocess.size))
        _copy_origin(frame, given)
        return given


@final
class NetworkStandIn(GuardedNode):
    """Runs a backend on the network's frames; puts out ``NNData`` with FP16 or S32 tensors, as ``NeuralNetwork`` does.

    Attributes:
        input: takes ``ImgFrame`` of the network's size and colours.
        out: sends ``NNData`` with the frame's number, timestamps and transformation.
        passthrough: sends the frame that the result belongs to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input = self.createInput("in")
        self.out = self.createOutput("out")
        self.passthrough = self.createOutput("passthrough")
        self._backend: Backend | None = None
        self._preprocess: Preprocess | None = None

    def build(self, backend: Backend, preprocess: Preprocess) -> NetworkStandIn:
        """Configure; returns the node.

        Args:
            backend: what runs; where it takes float32, levels are normalised as its network wants them.
            preprocess: of the model; a frame of the network's size is not resized any more.
        """
        self._backend = backend
        prepared = replace(preprocess, baked=backend.inputs[0].dtype == "uint8", layout="nchw")
        channels_last = tuple(backend.inputs[0].shape) == replace(prepared, layout="nhwc").tensor_shape
        self._preprocess = replace(prepared, layout="nhwc" if channels_last else "nchw")
        return self

    def work(self) -> None:
        """Run frame by frame."""
        assert self._backend is not None, "build comes before start"
        assert self._preprocess is not None, "build comes before start"
        while self.mainLoop():
            frame = self.input.get()
            tensor, _ = self._preprocess.apply(image_from_frame(frame))
            data = nn_data_from_tensors(self._backend.run({self._backend.inputs[0].name: tensor}))
            _copy_origin(frame, data)
            data.setTransformation(frame.getTransformation())
            self.out.send(data)
            self.passthrough.send(frame)


def _copy_origin(source: Any, target: Any) -> None:
    """Number and timestamps of the capture."""
    target.setSequenceNum(source.getSequenceNum())
    target.setTimestamp(source.getTimestamp())
    target.setTimestampDevice(source.getTimestampDevice())
