"""A compiled blob by itself, which tells of its tensors and of nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import numpy as np

from oakpoint.backends.registry import ModelSource, RuntimeOptions
from oakpoint.bundle.interface import Interface, TensorSpec
from oakpoint.errors import UsageError
from oakpoint.models.base import Model, ModelOptions, Origin, Runnable, Size, identity_of_file, require_own_weights
from oakpoint.models.inputs import Look, inputs_of
from oakpoint.models.taken import Taken, open_taken, taken_as_said
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.tensors import IoTensor


@final
@dataclass(frozen=True, slots=True)
class BlobModel(Model):
    """A blob file.

    Attributes:
        path: the file.
        options: what was said of it.
    """

    path: Path
    options: ModelOptions

    def runnable(self, options: RuntimeOptions) -> Runnable:
        """See ``Model.runnable``."""
        require_own_weights(self.path, self.options)
        taken = _taken(read_blob(self.path), str(self.path), self.options)
        source = ModelSource(blob=self.path)
        return Runnable(
            open_at=partial(open_taken, source, options, taken),
            source=lambda: source,
            interface=taken.interface,
            task=taken.task,
            identify=partial(identity_of_file, self.path),
            has_size=True,
            one_size=True,
        )

    def origin(self, size: Size | None) -> Origin:
        """See ``Model.origin``: a blob is where a conversion ends."""
        del size
        raise UsageError(f"{self.path}: is compiled already; convert the ONNX that it was made from")


def _taken(blob: Blob, of: str, options: ModelOptions) -> Taken:
    """What a blob takes and gives, and what it finds, as far as names and shapes tell and as was said."""
    specs = tuple(map(_spec, blob.inputs))
    looks: dict[str, Look] = {spec.name: ("nchw", int(spec.shape[1])) for spec in specs if len(spec.shape) == 4}
    inputs = inputs_of(specs, looks, options.inputs, None, of=of)
    own = Interface(inputs=inputs, outputs=tuple(map(_spec, blob.outputs)))
    return taken_as_said(own, options, of, on_device=True)


def _spec(tensor: IoTensor) -> TensorSpec:
    return TensorSpec(tensor.name, np.dtype(tensor.dtype.numpy).name, tensor.shape)
