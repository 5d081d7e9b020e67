"""What the device graph puts out: the network's own tensors, or what a consumer on the camera's other side reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from oakpoint.bundle.manifest import Manifest
from oakpoint.convert.graph_edit import GraphEditor, rename_tensor, set_outputs
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import ConversionError, UsageError
from oakpoint.features.types import CELL_PX, LOGIT_CHANNELS
from oakpoint.tasks.keypoints.heads.descriptor_basis import project_descriptors
from oakpoint.tasks.keypoints.heads.descriptor_norm import append_unit_descriptors, scale_descriptors
from oakpoint.tasks.keypoints.heads.packing import append_packed_descriptors, append_packed_heatmap

SEMI, DESC = "semi", "desc"
HEATMAP, DESCRIPTORS = "heatmap", "descriptors"
HEATMAP_PACKED, DESCRIPTORS_PACKED = "heatmap_packed", "descriptors_packed"

NEEDS_SCALE = ("normalised",)
"""Heads that square descriptors on the device, and need them scaled so that the squares stay within FP16."""

NEEDS_VALUES = ("reduced",)
"""Heads that give fewer values of each descriptor, and need to know how many are enough."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What a device graph is to put out.

    Attributes:
        name: one of ``HEADS``, see ``append_heads``.
        descriptor_scale: what the descriptors are multiplied with before anything else, folded into the convolution
            that they come from; see ``descriptor_norm.scale_for_norms``. None leaves them as they are.
        descriptor_values: K, for heads ``reduced``.
    """

    name: str
    descriptor_scale: float | None = None
    descriptor_values: int | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Heads:
        """Those of a bundle."""
        return cls(manifest.heads, manifest.descriptor_scale, manifest.descriptor_values)


class KeypointHeads(Rewrite):
    """Make of a keypoint network's outputs what the consumer reads; see ``append_heads``."""

    name = "heads"

    def __init__(self, heads: Heads, size: tuple[int, int]) -> None:
        """Take the heads, and the image's (W, H) in pixels."""
        self._heads, self._size = heads, size

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        append_heads(model, self._heads, size=self._size)
        return tuple(output.name for output in model.graph.output)


def append_heads(model: onnx.ModelProto, heads: Heads, *, size: tuple[int, int]) -> None:
    """Append heads to a model with the outputs ``semi`` (1, 65, H/8, W/8) and ``desc`` (1, D, H/8, W/8).

    ============== =============================================================================================
    ``dense``      both as they are
    ``heatmap``    ``heatmap`` (1, H, W): softmax over 65 without the dustbin, each cell spread to its 8×8 pixels;
                   ``descriptors`` (1, D, H/8, W/8): as ``desc``
    ``normalised`` ``heatmap`` as above; ``descriptors`` of unit L2 norm
    ``packed``     half the bytes, four values in each int32, see ``packing``: ``heatmap_packed``
                   (1, 16, H/8, W/8), ``descriptors_packed`` (1, D/4, H/8, W/8)
    ``reduced``    ``heatmap`` as above; ``descriptors`` (1, K, H/8, W/8): coordinates in a subspace, see
                   ``descriptor_basis``; cosines and distances among them are those of ``desc``
    ``rtabmap``    what RTAB-Map's DepthAI driver reads: ``heatmap`` as above, ``desc`` (1, H/8, W/8, D)
    ============== =============================================================================================

    Args:
        model: changed in place; opset 13.
        heads: which.
        size: (W, H) in pixels.

    Raises:
        UsageError: unknown heads, or heads of ``NEEDS_SCALE`` or ``NEEDS_VALUES`` without theirs.
        ConversionError: the model lacks the two outputs, or cannot have these heads.
    """
    if heads.name not in HEADS:
        raise UsageError(f"heads: expected one of {', '.join(HEADS)}, got {heads.name!r}")
    names = {output.name for output in model.graph.output}
    if {SEMI, DESC} - names:
        raise ConversionError(f"expected the outputs {SEMI} and {DESC}, got {', '.join(sorted(names))}")
    if heads.name in NEEDS_SCALE and heads.descriptor_scale is None:
        raise UsageError(f"heads {heads.name}: expected a descriptor_scale from the network's measured norms, got none")
    if heads.name in NEEDS_VALUES:
        if heads.descriptor_values is None:
            raise UsageError(f"heads {heads.name}: expected descriptor_values, measured on the network, got none")
        project_descriptors(model.graph, DESC, heads.descriptor_values)
    if heads.descriptor_scale is not None:
        scale_descriptors(model.graph, DESC, heads.descriptor_scale)
    HEADS[heads.name](model.graph, size)


def _dense(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    del graph, size


def _heatmap(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    _append_heatmap(graph, size)
    rename_tensor(graph, DESC, DESCRIPTORS)
    set_outputs(graph, HEATMAP, DESCRIPTORS)


def _normalised(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    _append_heatmap(graph, size)
    append_unit_descriptors(graph, DESC, DESCRIPTORS)
    set_outputs(graph, HEATMAP, DESCRIPTORS)


def _packed(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    del size
    append_packed_heatmap(graph, SEMI, HEATMAP_PACKED)
    append_packed_descriptors(graph, DESC, DESCRIPTORS_PACKED)
    set_outputs(graph, HEATMAP_PACKED, DESCRIPTORS_PACKED, kind=TensorProto.INT32)


def _rtabmap(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    _append_heatmap(graph, size)
    rename_tensor(graph, DESC, f"{DESC}_planar")
    graph.node.append(helper.make_node("Transpose", [f"{DESC}_planar"], [DESC], name=f"{DESC}_rows", perm=[0, 2, 3, 1]))
    set_outputs(graph, HEATMAP, DESC)


def _append_heatmap(graph: onnx.GraphProto, size: tuple[int, int]) -> None:
    """``semi`` to ``heatmap``: softmax, dustbin dropped, channel 8·r + c of a cell to its pixel (r, c)."""
    rows, columns = size[1] // CELL_PX, size[0] // CELL_PX
    edit = GraphEditor(graph, HEATMAP)

    def integers(*values: int) -> str:
        return edit.constant(values, np.int64)

    probabilities = edit.op("Softmax", SEMI, axis=1)
    cells = edit.op("Slice", probabilities, integers(0), integers(LOGIT_CHANNELS - 1), integers(1))
    cells = edit.op("Transpose", cells, perm=[0, 2, 3, 1])
    pixels = edit.op("Reshape", cells, integers(1, rows, columns, CELL_PX, CELL_PX))
    pixels = edit.op("Transpose", pixels, perm=[0, 1, 3, 2, 4])
    edit.op("Reshape", pixels, integers(1, rows * CELL_PX, columns * CELL_PX), output=HEATMAP)


HEADS: dict[str, Callable[[onnx.GraphProto, tuple[int, int]], None]] = {
    "dense": _dense,
    "heatmap": _heatmap,
    "normalised": _normalised,
    "packed": _packed,
    "reduced": _heatmap,
    "rtabmap": _rtabmap,
}
"""Heads by name."""
