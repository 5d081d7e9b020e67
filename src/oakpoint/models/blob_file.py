"""A compiled blob by itself, of which nothing is known but its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from oakpoint.backends.registry import ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import image_interface
from oakpoint.errors import UsageError
from oakpoint.features.types import DecodeOptions
from oakpoint.models.base import Model, Origin, Runnable, Size, identity_of_file
from oakpoint.models.base import ModelOptions as Options
from oakpoint.myriad.blob import read_blob
from oakpoint.tasks.keypoints.task import Keypoints, superpoint_preprocess


@final
@dataclass(frozen=True, slots=True)
class BlobModel(Model):
    """A blob file: U8 grey images of its size, scaled within.

    Attributes:
        path: the file.
        options: what was said of it.
    """

    path: Path
    options: Options

    def runnable(self, options: RuntimeOptions) -> Runnable:
        """See ``Model.runnable``."""
        given = read_blob(self.path).inputs[0]
        interface = image_interface(given.name, superpoint_preprocess((given.shape[-1], given.shape[-2]))).on_device()
        source = ModelSource(blob=self.path)
        return Runnable(
            open_at=lambda size: open_backend(source, options, interface.at(size).tensors),
            source=lambda: source,
            interface=interface,
            task=Keypoints(decode=DecodeOptions.preset("superpoint")),
            identify=partial(identity_of_file, self.path),
            has_size=True,
            one_size=True,
        )

    def origin(self, size: Size | None) -> Origin:
        """See ``Model.origin``: a blob is where a conversion ends."""
        del size
        raise UsageError(f"{self.path}: is compiled already; convert the ONNX that it was made from")
