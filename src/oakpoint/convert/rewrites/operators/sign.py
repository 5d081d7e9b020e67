"""Sign, which the compiler does not take."""

from __future__ import annotations

from typing import ClassVar

from onnx import TensorProto

from oakpoint.convert.rewrites.local import LocalRewrite, Place


class Sign(LocalRewrite):
    """``sign(x)`` becomes ``(x > 0) − (x < 0)``, truth values as numbers: the same bits, zero included."""

    name = "sign"
    operators: ClassVar[frozenset[str]] = frozenset({"Sign"})

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        if not place.floating:
            return False
        editor = place.editor
        zero = editor.constant(0.0)
        above, below = (
            editor.op("Cast", editor.op(comparison, place.x, zero), to=TensorProto.FLOAT)
            for comparison in ("Greater", "Less")
        )
        editor.op("Sub", above, below, output=place.output)
        return True
