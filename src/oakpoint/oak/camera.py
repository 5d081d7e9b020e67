"""The pipeline of a camera: sensor → network → results, and frames to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from oakpoint.convert.archive_from_blob import IMAGE_TYPES
from oakpoint.errors import BackendError, UsageError
from oakpoint.oak.bandwidth import bandwidth_note, bytes_per_frame
from oakpoint.oak.device import device_facts, open_device
from oakpoint.oak.faults import one_line, running_fault
from oakpoint.oak.feed import Feed
from oakpoint.oak.model import DeviceModel, has_own_blob, superblob_of
from oakpoint.oak.options import OakOptions
from oakpoint.oak.pipeline_feed import FRAMES_WAITING, PipelineFeed
from oakpoint.oak.runtime import import_depthai, stop_pipeline

RESIZE_MODES = {"stretch": "STRETCH", "crop": "CROP", "letterbox": "LETTERBOX"}
"""The manifest's resize mode → DepthAI's. DepthAI's default, CROP, is never left to stand."""

INTERPOLATION_NOTE = (
    "the camera scales frames in its own way; the manifest's interpolation «{}» is that of images on the host"
)

BORDERS_NOTE = "the camera leaves the borders of its letterbox black; on the host they have the level {}"


def open_camera(model: DeviceModel, options: OakOptions, *, depthai: Any = None) -> PipelineFeed:
    """Open a camera and start its network.

    The latest result wins: the network takes the newest frame, the host reads and shows the newest result.

    Args:
        model: from ``open_device_model``.
        options: camera and pipeline.
        depthai: the module, or what stands for it in tests.

    Raises:
        MissingExtraError: depthai is not installed.
        UsageError: the manifest's resize mode or the number of shaves cannot be had on the camera.
        DeviceError: the camera cannot be opened or refuses the pipeline.
        BackendError: the blob cannot be read.
    """
    depthai = depthai or import_depthai()
    from oakpoint.oak.node import ResultsNode

    resize = resize_mode(depthai, model)
    give_network = read_network(depthai, model, options)
    with begun_pipeline(depthai, options, advice="other --fps, --preview or --socket") as (device, pipeline):
        network = add_network(depthai, pipeline, give_network, options)
        network.input.setBlocking(False)
        network.input.setMaxSize(1)
        shown = _add_camera(depthai, pipeline, network, resize, model, options)
        reader = pipeline.create(ResultsNode).build(network.out, model)
        results = reader.out.createOutputQueue(maxSize=1, blocking=False)
        frames = shown.createOutputQueue(maxSize=FRAMES_WAITING, blocking=False)
        pipeline.start()
        facts = device_facts(depthai, device)
    return PipelineFeed(
        pipeline,
        results,
        frames,
        description=_description(facts, options),
        facts=facts,
        notes=_notes(model, options, str(facts["usb_speed"])),
        shows_input=options.preview is None,
        guarded=(reader,),
        close=device.close,
    )


def same_camera(open_it: Callable[[OakOptions], Feed], options: OakOptions) -> Callable[[], Feed]:
    """What opens a camera, and after it was opened no other one.

    A camera that was named is opened by that name again: an address may lie where no search by id reaches.

    Args:
        open_it: opens the camera of the options; its feed has the camera's ``id`` among its facts.
        options: of the first opening.
    """
    device = options.device

    def open_again() -> Feed:
        nonlocal device
        feed = open_it(replace(options, device=device))
        device = device or str(feed.facts["id"]) or None
        return feed

    return open_again


def read_network(depthai: Any, model: DeviceModel, options: OakOptions) -> Callable[[Any], None]:
    """Read the bundle's archive, blob or, for another number of shaves, superblob; no camera takes part.

    Returns:
        What gives it to a ``NeuralNetwork`` node.

    Raises:
        UsageError: a number of shaves that the bundle does not have.
        BackendError: depthai cannot read the file.
    """
    manifest = model.bundle.manifest
    try:
        if not has_own_blob(model, options.shaves):
            path = superblob_of(model)
            blob = depthai.OpenVINO.SuperBlob(str(path)).getBlobWithNumShaves(options.shaves)
            if blob.numShaves != options.shaves:
                raise UsageError(
                    f"{path}: has no blob for {options.shaves} shaves, only for {blob.numShaves}; choose one with "
                    "--shaves"
                )
        elif manifest.has("archive"):
            path = model.bundle.path("archive")
            archive = depthai.NNArchive(path)
            return lambda network: network.setNNArchive(archive)
        else:
            path = model.bundle.path("blob")
            blob = depthai.OpenVINO.Blob(path)
    except RuntimeError as error:
        raise BackendError(f"{path}: depthai {depthai.__version__} cannot read it ({one_line(str(error))})") from error
    return lambda network: network.setBlob(blob)


def add_network(depthai: Any, pipeline: Any, give_network: Callable[[Any], None], options: OakOptions) -> Any:
    """Add the ``NeuralNetwork`` node with what ``read_network`` gave."""
    network = pipeline.create(depthai.node.NeuralNetwork)
    give_network(network)
    network.setNumInferenceThreads(options.threads)
    network.setNumNCEPerInferenceThread(1)
    return network


@contextmanager
def begun_pipeline(depthai: Any, options: OakOptions, *, advice: str) -> Iterator[tuple[Any, Any]]:
    """A camera and an empty pipeline on it, to be filled and started; both are the caller's when the block ends well.

    Args:
        depthai: the module.
        options: which camera.
        advice: what to try where the camera refuses the pipeline.

    Raises:
        DeviceError: see ``open_device``, and whatever depthai says against the pipeline; the camera is given back.
    """
    device = open_device(depthai, options)
    pipeline = None
    try:
        pipeline = depthai.Pipeline(device)
        yield device, pipeline
    except RuntimeError as error:
        _close(pipeline, device)
        raise running_fault(str(error), advice=advice) from error
    except BaseException:
        _close(pipeline, device)
        raise


def _close(pipeline: Any, device: Any) -> None:
    """Stop a pipeline, if there is one, and give the camera back."""
    try:
        if pipeline is not None:
            stop_pipeline(pipeline)
    finally:
        device.close()


def resize_mode(depthai: Any, model: DeviceModel) -> Any:
    """The manifest's resize mode as DepthAI's, for ``Camera.requestOutput``.

    Raises:
        UsageError: one that a camera does not have.
    """
    name = RESIZE_MODES.get(model.preprocess.resize)
    if name is None:
        known = ", ".join(RESIZE_MODES)
        raise UsageError(
            f"resize: a camera offers {known}; this bundle's network wants «{model.preprocess.resize}»; "
            "convert for one of those"
        )
    return getattr(depthai.ImgResizeMode, name)


def _add_camera(depthai: Any, pipeline: Any, network: Any, resize: Any, model: DeviceModel, options: OakOptions) -> Any:
    """Add the sensor, link it to the network, and give the output that sends frames to show."""
    camera = pipeline.create(depthai.node.Camera).build(getattr(depthai.CameraBoardSocket, options.socket))
    kind = getattr(depthai.ImgFrame.Type, IMAGE_TYPES[model.preprocess.colour])
    given = camera.requestOutput(model.size, type=kind, resizeMode=resize, fps=options.fps)
    given.link(network.input)
    if options.preview is None:
        return network.passthrough
    return camera.requestOutput(options.preview, type=depthai.ImgFrame.Type.NV12, resizeMode=resize, fps=options.fps)


def _description(facts: dict[str, object], options: OakOptions) -> str:
    threads = f"{options.threads} inference thread{'s' if options.threads > 1 else ''}"
    return f"{facts['camera']} {facts['id']}, {options.socket}, USB {facts['usb_speed']}, {threads}"


def _notes(model: DeviceModel, options: OakOptions, speed: str) -> tuple[str, ...]:
    shown_size = options.preview or model.size
    preprocess = model.preprocess
    sent = bytes_per_frame(model.outputs, shown_size, colour=options.preview is not None, channels=preprocess.channels)
    slow = bandwidth_note(sent, options.fps, speed)
    borders = preprocess.resize == "letterbox" and preprocess.padding_value != 0
    return (
        INTERPOLATION_NOTE.format(preprocess.interpolation),
        *([BORDERS_NOTE.format(preprocess.padding_value)] if borders else []),
        *([slow] if slow else []),
    )
