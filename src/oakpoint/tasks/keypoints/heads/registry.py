"""The heads by name, and their place among the rewrites."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from oakpoint.backends.base import Tensors
from oakpoint.convert.rewrites.base import Rewrite
from oakpoint.errors import BackendError, ConversionError, FeaturesError, UsageError
from oakpoint.features.types import Outputs
from oakpoint.tasks.keypoints.heads.base import DESC, SEMI, Head, Heads
from oakpoint.tasks.keypoints.heads.dense import Dense
from oakpoint.tasks.keypoints.heads.descriptor_norm import scale_descriptors
from oakpoint.tasks.keypoints.heads.heatmap import Heatmap
from oakpoint.tasks.keypoints.heads.normalised import Normalised
from oakpoint.tasks.keypoints.heads.packed import Packed
from oakpoint.tasks.keypoints.heads.reduced import Reduced
from oakpoint.tasks.keypoints.heads.rtabmap import RtabMap

HEADS: dict[str, Head] = {
    head.name: head for head in (Dense(), Heatmap(), Normalised(), Packed(), Reduced(), RtabMap())
}
"""Heads by name."""


class KeypointHeads(Rewrite):
    """Make of ``semi`` (1, 65, H/8, W/8) and ``desc`` (1, D, H/8, W/8) what the consumer reads."""

    name = "heads"

    def __init__(self, heads: Heads, size: tuple[int, int]) -> None:
        """Take the heads, and the image's (W, H) in pixels."""
        self._heads, self._size = heads, size

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``.

        Raises:
            UsageError: unknown heads, or heads without what they need to have measured.
            ConversionError: the model lacks the two outputs, or cannot have these heads.
        """
        head = head_of(self._heads)
        names = {output.name for output in model.graph.output}
        if {SEMI, DESC} - names:
            raise ConversionError(f"expected the outputs {SEMI} and {DESC}, got {', '.join(sorted(names))}")
        if self._heads.descriptor_scale is not None:
            scale_descriptors(model.graph, DESC, self._heads.descriptor_scale)
        head.append(model.graph, self._size, self._heads)
        return tuple(output.name for output in model.graph.output)


def head_of(heads: Heads) -> Head:
    """The heads by their name.

    Raises:
        UsageError: an unknown one.
    """
    if heads.name not in HEADS:
        raise UsageError(f"heads: expected one of {', '.join(HEADS)}, got {heads.name!r}")
    return HEADS[heads.name]


def outputs_of(tensors: Tensors) -> Outputs:
    """The outputs of one image from a backend's tensors, of whichever heads: their names tell.

    Raises:
        BackendError: other names or shapes.
    """
    try:
        for head in HEADS.values():
            if set(head.tensors) == set(tensors):
                return head.read(tensors)
    except FeaturesError as error:
        raise BackendError(f"the model's outputs are not those of a keypoint network: {error}") from error
    raise BackendError(f"expected the outputs {SEMI} and {DESC}, got {', '.join(sorted(tensors))}")
