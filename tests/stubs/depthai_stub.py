"""The real depthai, its runtime on the host, with stubs for what needs a device: Device, Camera, NeuralNetwork.

A stub has no method and takes no argument that the real class does not have, so that a name of ours that depthai does
not know fails here as it would with a camera. What the stubs cannot show: whether the firmware takes the values.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.images.preprocess import Preprocess
from oakpoint.oak.runtime import import_depthai
from oakpoint.oak.stand_in import ImagesNode, NetworkStandIn

dai = import_depthai()


def check_call(real: Any, name: str, keywords: Iterable[str] = ()) -> None:
    """The real class has the method, and one of its overloads the keyword arguments."""
    text = getattr(real, name).__doc__ or ""
    for keyword in keywords:
        assert re.search(rf"\b{keyword}: ", text), f"{real.__name__}.{name} takes no {keyword}: {text[:300]}"


def start(pipeline: Any) -> None:
    """Start a pipeline of the host that has an ``ImageManip``.

    depthai 3.12 writes a node's properties once more when it serialises the started pipeline, while the node's thread
    copies them; where that changes them, the heap is corrupted (``malloc(): unsorted double linked list corrupted``
    after some thousand starts, or after one). Serialised once before, they are written with what they hold.
    """
    pipeline.build()
    pipeline.serializeToJson()
    pipeline.start()


@dataclass
class StubDevice:
    """An opened camera; ``calls`` is what was asked of it."""

    arguments: tuple[Any, ...] = ()
    platform: str = "RVC2"
    sockets: Sequence[str] = ("CAM_A", "CAM_B", "CAM_C")
    usb_speed: str = "SUPER"
    lost: str | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    closed: int = 0

    def __post_init__(self) -> None:
        for name in vars(StubDevice):
            if not name.startswith("_") and callable(getattr(self, name)):
                check_call(dai.Device, name)

    def getDeviceId(self) -> str:
        return "14442C10D13EABCE00"

    def getProductName(self) -> str:
        return "OAK-D-LITE"

    def getDeviceName(self) -> str:
        return "OAK-D-LITE"

    def getPlatform(self) -> Any:
        return getattr(dai.Platform, self.platform)

    def getUsbSpeed(self) -> Any:
        return getattr(dai.UsbSpeed, self.usb_speed)

    def getConnectedCameras(self) -> list[Any]:
        if self.lost is not None:
            raise RuntimeError(self.lost)
        return [getattr(dai.CameraBoardSocket, name) for name in self.sockets]

    def getCameraSensorNames(self) -> dict[Any, str]:
        return dict.fromkeys(self.getConnectedCameras(), "IMX214")

    def setMaxReconnectionAttempts(self, maxAttempts: int) -> None:
        self.calls.append(("setMaxReconnectionAttempts", maxAttempts))

    def close(self) -> None:
        self.closed += 1


class Lens:
    """Images of which the next is taken when the one before was shown, so that no frame is skipped or dropped."""

    def __init__(self, images: Iterable[NDArray[np.uint8]]) -> None:
        self._images = images
        self._shown = threading.Semaphore(1)
        self._closed = False

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for image in self._images:
            self._shown.acquire()
            if self._closed:
                return
            yield image

    def shown(self) -> None:
        """Let the next image come."""
        self._shown.release()

    def close(self) -> None:
        """Let no more come."""
        self._closed = True
        self._shown.release()


class StubCamera:
    """A sensor that delivers images, scaled by DepthAI's own ImageManip on the host."""

    def __init__(self, stub: StubDepthai, pipeline: Any) -> None:
        self._stub, self._pipeline, self._source = stub, pipeline, None

    def build(self, socket: Any) -> StubCamera:
        check_call(dai.node.Camera, "build", ["boardSocket"])
        self._stub.calls.append(("Camera.build", socket.name))
        self._source = self._pipeline.create(ImagesNode).build(self._stub.images)
        return self

    def requestOutput(self, size: tuple[int, int], **options: Any) -> Any:
        check_call(dai.node.Camera, "requestOutput", ["size", *options])
        self._stub.calls.append(
            ("Camera.requestOutput", size, options["type"].name, options["resizeMode"].name, options["fps"])
        )
        modes = dai.ImageManipConfig.ResizeMode
        mode = {"CROP": modes.CENTER_CROP, "STRETCH": modes.STRETCH, "LETTERBOX": modes.LETTERBOX}
        manip = self._pipeline.create(dai.node.ImageManip)
        manip.setRunOnHost(True)
        manip.initialConfig.setOutputSize(*size, mode[options["resizeMode"].name])
        manip.initialConfig.setFrameType(options["type"])
        manip.setMaxOutputFrameSize(size[0] * size[1] * 3)
        assert self._source is not None, "build comes before requestOutput"
        self._source.out.link(manip.inputImage)
        return manip.out


class StubNetwork:
    """``NeuralNetwork`` whose network is a backend of the host."""

    def __init__(self, stub: StubDepthai, pipeline: Any) -> None:
        self._stub = stub
        self._node = pipeline.create(NetworkStandIn).build(stub.backend, stub.preprocess)
        stub.networks.append(self)
        self.input, self.out, self.passthrough = self._node.input, self._node.out, self._node.passthrough

    def __getattr__(self, name: str) -> Callable[..., None]:
        check_call(dai.node.NeuralNetwork, name)
        return lambda *arguments: self._stub.calls.append((f"NeuralNetwork.{name}", *arguments))


class StubPipeline:
    """A pipeline of the host that makes stubs of Camera and NeuralNetwork."""

    def __init__(self, stub: StubDepthai) -> None:
        self._stub, self._pipeline = stub, dai.Pipeline(createImplicitDevice=False)

    def create(self, kind: Any) -> Any:
        stubs = {dai.node.Camera: StubCamera, dai.node.NeuralNetwork: StubNetwork}
        return stubs[kind](self._stub, self._pipeline) if kind in stubs else self._pipeline.create(kind)

    def start(self) -> None:
        if self._stub.refusal is not None:
            raise RuntimeError(self._stub.refusal)
        start(self._pipeline)

    def stop(self) -> None:
        if isinstance(self._stub.images, Lens):
            self._stub.images.close()
        self._pipeline.stop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


class StubDepthai:
    """Hand this to the functions that take ``depthai``.

    Attributes:
        images: what the sensor sees.
        calls: what was asked of the stubs, in order.
        pipelines: the pipelines that were made.
        opened: the devices that were opened.
        networks: the networks that were made.
    """

    def __init__(
        self,
        backend: Backend | None = None,
        preprocess: Preprocess | None = None,
        images: Iterable[NDArray[np.uint8]] = (),
        *,
        refusal: str | None = None,
        opening: str | None = None,
        seen: Sequence[tuple[str, str, str]] = (),
        **device: Any,
    ) -> None:
        self.backend, self.preprocess, self.images = backend, preprocess, images
        self.refusal, self.opening, self.seen, self._device = refusal, opening, seen, device
        self.calls: list[tuple[Any, ...]] = []
        self.pipelines: list[StubPipeline] = []
        self.opened: list[StubDevice] = []
        self.networks: list[StubNetwork] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(dai, name)

    @property
    def Device(self) -> Any:
        class Device:
            def __new__(cls, *arguments: Any) -> Any:
                if self.opening is not None:
                    raise RuntimeError(self.opening)
                self.opened.append(StubDevice(arguments, **self._device))
                return self.opened[-1]

            @staticmethod
            def getAllConnectedDevices() -> list[Any]:
                return [_info(*seen) for seen in self.seen]

        return Device

    def Pipeline(self, device: Any) -> StubPipeline:
        check_call(dai.Pipeline, "__init__", ["defaultDevice"])
        assert device is self.opened[-1]
        self.pipelines.append(StubPipeline(self))
        return self.pipelines[-1]


def _info(identity: str, state: str, status: str) -> Any:
    """A ``DeviceInfo`` of a camera that is there."""
    states, statuses = dai.XLinkDeviceState.__members__, dai.XLinkError_t.__members__
    return dai.DeviceInfo(
        identity, identity, states[state], dai.XLinkProtocol.X_LINK_USB_VSC, dai.XLinkPlatform.X_LINK_MYRIAD_X,
        statuses[status],
    )  # fmt: skip
