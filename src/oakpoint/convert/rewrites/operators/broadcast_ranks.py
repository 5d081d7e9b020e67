"""Broadcasting between tensors of five and of three or four dimensions, whose axes the compiler mixes up."""

from __future__ import annotations

from typing import ClassVar

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class BroadcastRanks(LocalRewrite):
    """Where one of several tensors has five dimensions, those of three and four get ones in front, as ONNX implies."""

    name = "broadcast-ranks"
    operators: ClassVar[frozenset[str]] = frozenset({
        "Add", "And", "Div", "Equal", "Greater", "Less", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum", "Where",
    })  # fmt: skip

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        ranks = [len(place.known.shape(name)) for name in place.node.input]
        highest = max(ranks)
        if highest < 5 or not any(2 < rank < highest for rank in ranks):
            return False
        editor = place.editor
        tensors = [
            editor.op("Unsqueeze", name, editor.constant(range(highest - rank), "int64"))
            if 2 < rank < highest
            else name
            for name, rank in zip(place.node.input, ranks, strict=True)
        ]
        editor.op(place.node.op_type, *tensors, output=place.output, **place.attributes)
        return True
