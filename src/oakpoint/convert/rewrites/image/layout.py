"""Images with their channels first, as the camera gives them, where the network takes them last."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from oakpoint.convert.rewrites.base import Rewrite, label


class InputLayout(Rewrite):
    """Give an image input (1, H, W, C) the shape (1, C, H, W), and the network behind it a transposition.

    Nothing is calculated. Networks that take channels last mostly begin with the opposite transposition;
    ``input-normalisation`` then drops both.
    """

    name = "input-layout"

    def __init__(self, tensor: str) -> None:
        """Take the input's name."""
        self._tensor = tensor

    def apply(self, model: onnx.ModelProto) -> Sequence[str]:
        """See ``Rewrite.apply``."""
        graph = model.graph
        value = next(value for value in graph.input if value.name == self._tensor)
        batch, height, width, channels = (size.dim_value for size in value.type.tensor_type.shape.dim)
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(self._tensor, kind, (batch, channels, height, width)))
        last = f"{self._tensor}_channels_last"
        readers = [node for node in graph.node if self._tensor in node.input]
        for node in readers:
            node.input[:] = [last if name == self._tensor else name for name in node.input]
        turned = helper.make_node("Transpose", [self._tensor], [last], name=last, perm=[0, 2, 3, 1])
        graph.node.insert(0, turned)
        return [label(node) for node in readers]
