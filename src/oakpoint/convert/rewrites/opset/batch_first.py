"""Recurrent layers that have the sequences of a batch first, which opset 13 does not know."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.base import name_of
from oakpoint.convert.rewrites.local import LocalRewrite, Place


class BatchFirst(LocalRewrite):
    """A recurrent layer of ``layout`` 1 becomes one of layout 0 between transposed tensors: the same bits.

    The sequence (B, T, I) becomes (T, B, I), initial states (B, D, H) become (D, B, H); the outputs go the way back.
    """

    name = "batch-first"
    operators: ClassVar[frozenset[str]] = frozenset({"GRU", "LSTM", "RNN"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        attributes = dict(place.attributes)
        if not attributes.pop("layout", 0):
            return False
        editor, node = place.editor, place.node
        inputs = [
            editor.op("Transpose", name, perm=[1, 0, 2]) if name and index in (0, 5, 6) else name
            for index, name in enumerate(node.input)
        ]
        made = [f"{name}_steps_first" if name else "" for name in node.output]
        editor.split(node.op_type, *inputs, outputs=made, **attributes)
        editor.graph.node[-1].name = name_of(node)
        for index, (name, output) in enumerate(zip(made, node.output, strict=True)):
            if output:
                editor.op("Transpose", name, perm=[2, 0, 1, 3] if index == 0 else [1, 0, 2], output=output)
        return True
