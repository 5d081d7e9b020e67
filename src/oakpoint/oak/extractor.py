"""Images of the host through the camera's network: ``oakpoint run BUNDLE VIDEO --backend depthai``."""

from __future__ import annotations

from typing import Any

from oakpoint.backends.base import Backend
from oakpoint.errors import UsageError
from oakpoint.extractor import predictor_for
from oakpoint.oak.host_frames import open_host_frames
from oakpoint.oak.model import DeviceModel
from oakpoint.oak.options import OakOptions
from oakpoint.predictor import Predictor


def camera_extractor(model: DeviceModel, options: OakOptions) -> Predictor[Any]:
    """A predictor whose network runs on the camera; the camera is opened with the first image.

    Args:
        model: from ``open_device_model``.
        options: camera and pipeline; sensor and preview do not count.
    """

    def open_at(size: tuple[int, int]) -> Backend:
        if size != model.size:
            raise UsageError(
                f"a blob has one size, {model.size[0]}x{model.size[1]}, not {size[0]}x{size[1]}; leave out --size"
            )
        return model.chained(open_host_frames(model, options))

    return predictor_for(open_at, interface=model.interface, task=model.task, runtime="depthai")
