"""The pipeline with no camera: frames of the host, a stand-in for the network, the same node and queues behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.oak.model import DeviceModel
from oakpoint.oak.pipeline_feed import FRAMES_WAITING, PipelineFeed
from oakpoint.oak.runtime import import_depthai

RESULTS_WAITING = 4


def open_replay(images: Iterable[NDArray[np.uint8]], model: DeviceModel, backend: Backend) -> PipelineFeed:
    """Run images through DepthAI's runtime on the host; every image gives a result, and nothing is dropped.

    Args:
        images: uint8 (H, W) or (H, W, 3) BGR; read in a thread of the pipeline.
        model: from ``open_stand_in``.
        backend: likewise; it stays the caller's to close.

    Raises:
        MissingExtraError: depthai is not installed.
    """
    from oakpoint.oak.stand_in import ImagesNode

    pipeline = host_pipeline()
    source = pipeline.create(ImagesNode).build(images)
    return start_replay(
        pipeline,
        source.out,
        model,
        backend,
        expected=lambda: source.sent if source.exhausted else None,
        guarded=(source,),
    )


def start_replay(
    pipeline: Any,
    frames: Any,
    model: DeviceModel,
    backend: Backend,
    *,
    expected: Callable[[], int | None],
    guarded: tuple[Any, ...] = (),
) -> PipelineFeed:
    """Add stand-ins for camera and network to a host pipeline, and start it.

    Args:
        pipeline: from ``host_pipeline``.
        frames: an output that sends ``ImgFrame``: of ``ImagesNode``, or of ``depthai.node.ReplayVideo``.
        model: from ``open_stand_in``.
        backend: likewise.
        expected: how many frames there will be in all; None while nobody knows.
        guarded: further nodes whose failure is to be raised.
    """
    from oakpoint.oak.node import ResultsNode
    from oakpoint.oak.stand_in import CameraStandIn, NetworkStandIn

    camera = pipeline.create(CameraStandIn).build(frames, model.preprocess)
    network = pipeline.create(NetworkStandIn).build(backend, model.preprocess)
    camera.network.link(network.input)
    reader = pipeline.create(ResultsNode).build(network.out, model, latest_only=False)
    results = reader.out.createOutputQueue(maxSize=RESULTS_WAITING, blocking=True)
    shown = camera.shown.createOutputQueue(maxSize=FRAMES_WAITING, blocking=True)
    pipeline.start()
    depthai = import_depthai()
    return PipelineFeed(
        pipeline,
        results,
        shown,
        description=f"depthai {depthai.__version__} on the host, network: {backend.description}",
        facts={"camera": "stand-in", "depthai": depthai.__version__},
        guarded=(*guarded, camera, network, reader),
        expected=expected,
    )


def host_pipeline() -> Any:
    """A ``depthai.Pipeline`` without a device.

    Raises:
        MissingExtraError: depthai is not installed.
    """
    return import_depthai().Pipeline(createImplicitDevice=False)
