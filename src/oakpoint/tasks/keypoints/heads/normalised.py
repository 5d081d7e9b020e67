"""``normalised``: as ``heatmap``, with descriptors of unit L2 norm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx

from oakpoint.convert.graph_edit import set_outputs
from oakpoint.errors import UsageError
from oakpoint.features.sampling import unit_norm
from oakpoint.features.types import Outputs
from oakpoint.images.preprocess import Preprocess
from oakpoint.tasks.keypoints.heads.base import DESC, DESCRIPTORS, HEATMAP, Form, Heads, Images
from oakpoint.tasks.keypoints.heads.descriptor_norm import append_unit_descriptors
from oakpoint.tasks.keypoints.heads.heatmap import Heatmap, append_heatmap
from oakpoint.tasks.keypoints.heads.measured import measured_descriptor_scale


class Normalised(Heatmap):
    """Descriptors are squared on the device, and scaled before that so that the squares stay within FP16."""

    name = "normalised"

    def append(self, graph: onnx.GraphProto, size: tuple[int, int], heads: Heads) -> None:
        """See ``Head.append``."""
        if heads.descriptor_scale is None:
            raise UsageError(
                f"heads {self.name}: expected a descriptor_scale from the network's measured norms, got none"
            )
        append_heatmap(graph, size)
        append_unit_descriptors(graph, DESC, DESCRIPTORS)
        set_outputs(graph, HEATMAP, DESCRIPTORS)

    def measured(self, onnx: Path, images: Images, preprocess: Preprocess) -> tuple[Heads, str]:
        """See ``Head.measured``."""
        scale, largest = measured_descriptor_scale(onnx, images, preprocess)
        note = f"largest descriptor norm {largest:.4g}, scaled by {scale:g} on the device"
        return Heads(self.name).with_scale(scale), note

    def reference_form(self) -> Form:
        """See ``Head.reference_form``."""
        return at_unit_norm


def at_unit_norm(outputs: Outputs) -> Outputs:
    """Outputs whose descriptors are divided by their norms."""
    return replace(outputs, descriptors=unit_norm(outputs.descriptors))
