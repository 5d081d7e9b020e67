"""A keypoint network in a DepthAI v3 pipeline of your own: three lines from the camera to keypoints with descriptors.

Run:  python examples/oak_pipeline.py BUNDLE          with an OAK camera
      python examples/oak_pipeline.py BUNDLE VIDEO    with no camera: DepthAI replays the video for OpenVINO

BUNDLE is what  oakpoint convert acorn --size 320x200 --out BUNDLE  makes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from oakpoint.errors import OakpointError
from oakpoint.oak.camera import resize_mode
from oakpoint.oak.model import open_device_model, open_stand_in
from oakpoint.oak.node import GuardedNode, KeypointsNode
from oakpoint.oak.runtime import import_depthai
from oakpoint.oak.stand_in import CameraStandIn, NetworkStandIn

dai = import_depthai()  # as  import depthai as dai,  without its reports to the network


def with_camera(bundle: str) -> tuple[Any, Any, list[GuardedNode]]:
    """A pipeline on a camera, its queue of keypoints, and the nodes that keep what went wrong in them."""
    model = open_device_model(bundle)
    pipeline = dai.Pipeline()
    camera = pipeline.create(dai.node.Camera).build(dai.CameraBoardSocket.CAM_A)
    frames = camera.requestOutput(model.size, dai.ImgFrame.Type.GRAY8, resize_mode(dai, model), fps=30)

    archive = dai.NNArchive(Path(bundle) / "model.rvc2.tar.xz")
    network = pipeline.create(dai.node.NeuralNetwork).build(frames, archive)
    keypoints = pipeline.create(KeypointsNode).build(network.out, model)
    queue = keypoints.out.createOutputQueue()
    return pipeline, queue, [keypoints]


def without_camera(bundle: str, video: str) -> tuple[Any, Any, list[GuardedNode]]:
    """The same with DepthAI's own replay of a video; stand-ins take the places of camera and network."""
    model, backend = open_stand_in(bundle, "openvino")
    pipeline = dai.Pipeline(createImplicitDevice=False)
    replay = pipeline.create(dai.node.ReplayVideo)
    replay.setReplayVideoFile(Path(video))
    replay.setLoop(False)
    replay.setOutFrameType(dai.ImgFrame.Type.BGR888i)
    camera = pipeline.create(CameraStandIn).build(replay.out, model.preprocess)

    network = pipeline.create(NetworkStandIn).build(backend, model.preprocess)
    camera.network.link(network.input)
    keypoints = pipeline.create(KeypointsNode).build(network.out, model)
    queue = keypoints.out.createOutputQueue()
    return pipeline, queue, [camera, network, keypoints]


def main(bundle: str, video: str | None = None) -> None:
    """Print what comes until the pipeline ends."""
    pipeline, queue, nodes = with_camera(bundle) if video is None else without_camera(bundle, video)
    with pipeline:
        pipeline.start()
        while pipeline.isRunning():
            try:
                message = queue.get()
            except dai.MessageQueue.QueueException:
                break  # the video is over, or a node failed
            best = message.keypoints[:1].tolist()
            print(
                f"frame {message.getSequenceNum()}: {len(message.keypoints)} keypoints, the best at {best}, "
                f"descriptors {message.descriptors.shape}, {1e3 * message.latency_s:.0f} ms"
            )
    for node in nodes:
        node.raise_failure()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OakpointError, RuntimeError) as error:  # depthai's own are RuntimeErrors: no camera, say
        sys.exit(f"error: {error}")
