"""``reduced``: as ``heatmap``, with descriptors as coordinates in the subspace that they lie in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from oakpoint.errors import UsageError
from oakpoint.features.types import Outputs
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.keypoints.heads.base import DESC, Form, Heads, Images
from oakpoint.tasks.keypoints.heads.descriptor_basis import descriptor_basis, project_descriptors
from oakpoint.tasks.keypoints.heads.heatmap import Heatmap
from oakpoint.tasks.keypoints.heads.measured import measured_descriptor_values
from oakpoint.threads import one_blas_thread


class Reduced(Heatmap):
    """``descriptors`` (1, K, H/8, W/8); cosines and distances among them are those of ``desc``."""

    name = "reduced"

    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        """See ``Head.append``."""
        if heads.descriptor_values is None:
            raise UsageError(f"heads {self.name}: expected descriptor_values, measured on the network, got none")
        project_descriptors(graph, DESC, heads.descriptor_values)
        super().append(graph, size, heads)

    def measured(self, onnx: Path, images: Images, preprocess: Preprocess) -> tuple[Heads, str]:
        """See ``Head.measured``."""
        values, whole = measured_descriptor_values(onnx, images, preprocess)
        note = f"{values} of {whole} values of a descriptor are enough for every cell of the images"
        return Heads(self.name).with_values(values), note

    def candidate_form(self, onnx: Path) -> Form:
        """See ``Head.candidate_form``: back to the network's own values."""
        basis = descriptor_basis(onnx, DESC).astype(np.float32)

        @one_blas_thread()
        def lifted(outputs: Outputs) -> Outputs:
            directions = basis[:, : len(outputs.descriptors)]
            return replace(outputs, descriptors=np.tensordot(directions, outputs.descriptors, axes=1))

        return lifted
