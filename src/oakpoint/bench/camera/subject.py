"""What is measured: a camera, or its stand-in in DepthAI's runtime on this machine, which runs the executed blob."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.myriad_simulator import MyriadSimulatorBackend
from oakpoint.errors import UsageError, naming
from oakpoint.images.moving_view import moving_view
from oakpoint.myriad.superblob import blobs_from_superblob
from oakpoint.oak.camera import open_camera
from oakpoint.oak.device import device_facts, open_device
from oakpoint.oak.faults import running_fault
from oakpoint.oak.feed import Feed
from oakpoint.oak.host_frames import HostFramesBackend, open_host_frames, open_host_frames_stand_in
from oakpoint.oak.live import Timing
from oakpoint.oak.model import DeviceModel, has_own_blob, superblob_of
from oakpoint.oak.options import OakOptions
from oakpoint.oak.replay import open_replay
from oakpoint.oak.runtime import import_depthai


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraBlob:
    """The blob that runs on the camera.

    Attributes:
        path: its file; ``unpacked`` takes it out of a superblob.
        source: the bundle's file that it comes from.
        shaves: SHAVE cores that it was compiled for, as far as the manifest says.
    """

    path: Path
    source: Path
    shaves: int | None


def unpacked(model: DeviceModel, shaves: int | None, folder: Path) -> CameraBlob:
    """The blob that a camera runs with ``OakOptions.shaves``: the bundle's, or the superblob's for another number.

    Args:
        model: from ``open_device_model``.
        shaves: None for the bundle's.
        folder: where a blob of the superblob is written to.

    Raises:
        UsageError: the bundle has no blob for this number.
        BlobError: the superblob is damaged.
        MissingExtraError: bsdiff4 is not installed.
    """
    if shaves is None or has_own_blob(model, shaves):
        path = model.bundle.path("blob")
        return CameraBlob(path=path, source=path, shaves=model.bundle.manifest.device.shaves)
    source = superblob_of(model)
    blobs = blobs_from_superblob(source.read_bytes())
    if shaves not in blobs:
        there = ", ".join(map(str, blobs))
        raise UsageError(f"{source}: has no blob for {shaves} shaves, only for {there}; choose one with --shaves")
    path = folder / f"{source.stem}-{shaves}-shaves.blob"
    path.write_bytes(blobs[shaves])
    return CameraBlob(path=path, source=source, shaves=shaves)


@final
class Subject:
    """A camera, or its stand-in, and what is to run on it. Make one with ``open_subject``.

    Attributes:
        model: what runs.
        blob: the same as a blob.
        options: of the camera; None for the stand-in.
        photographs: images of this machine by name.
        device: what is known of the camera or its stand-in.
    """

    def __init__(
        self,
        model: DeviceModel,
        blob: CameraBlob,
        options: OakOptions | None,
        photographs: Mapping[str, NDArray[np.uint8]],
        device: dict[str, object],
        stack: contextlib.ExitStack,
    ) -> None:
        self.model = model
        self.blob = blob
        self.options = options
        self.photographs = photographs
        self.device = device
        self._stack = stack

    def open_simulator(self) -> Backend:
        """The blob, executed."""
        with naming(self.blob.path, str(self.blob.source)):
            return MyriadSimulatorBackend(
                self.blob.path, shapes={self.model.input_name: self.model.interface.tensors[0].shape}
            )

    def open_chip(self) -> HostFramesBackend:
        """The network, on frames of this machine."""
        if self.options is not None:
            return open_host_frames(self.model, self.options)
        return open_host_frames_stand_in(self.model, self._stack.enter_context(self.open_simulator()))

    def open_feed(self) -> tuple[Feed, Timing]:
        """The camera; of the stand-in a view that moves over a photograph, for ever."""
        if self.options is not None:
            return open_camera(self.model, self.options), Timing()
        backend = self._stack.enter_context(self.open_simulator())
        return open_replay(self._view(), self.model, backend), Timing(stall_s=None)

    def _view(self) -> Iterator[NDArray[np.uint8]]:
        photograph = next(iter(self.photographs.values()))
        size = photograph.shape[1] // 2, photograph.shape[0] // 2
        while True:
            for known in moving_view(photograph, size=size, frames=60):
                yield known.image


@contextlib.contextmanager
def open_subject(
    model: DeviceModel, options: OakOptions | None, photographs: Mapping[str, NDArray[np.uint8]]
) -> Iterator[Subject]:
    """Find what is to run, and the camera: what is missing is told before anything is measured.

    Args:
        model: from ``open_device_model``.
        options: of the camera; None for the stand-in.
        photographs: images by name, at least one.

    Raises:
        UsageError, BlobError, MissingExtraError: see ``unpacked``; depthai is not installed.
        DeviceError: the camera cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oakpoint-bench-")))
        blob = unpacked(model, None if options is None else options.shaves, folder)
        facts = _device_facts(options)
        if options is not None and options.device is None:  # all phases on one camera, where there are several
            options = replace(options, device=str(facts["id"]) or None)
        yield Subject(model, blob, options, photographs, facts, stack)


def _device_facts(options: OakOptions | None) -> dict[str, object]:
    depthai = import_depthai()
    if options is None:
        return {"camera": "stand-in", "depthai": depthai.__version__}
    device = open_device(depthai, options)
    try:
        return device_facts(depthai, device)
    except RuntimeError as error:
        raise running_fault(str(error)) from error
    finally:
        device.close()
