"""OneHot in comparisons: the compiler does not work out its size, nor take indices that count from the end."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from onnx import TensorProto

from oakpoint.convert.rewrites.local import LocalRewrite, Place, UnsupportedLayerError


class OneHot(LocalRewrite):
    """``OneHot`` with a constant depth becomes a comparison of each index with the places of the new axis.

    Index −1 is the last place. The comparison, 0 or 1, is brought to the two values by a line between them.
    """

    name = "one-hot"
    operators: ClassVar[frozenset[str]] = frozenset({"OneHot"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        depth, values, editor = place.constant(1), place.constant(2), place.editor
        if depth is None or values is None:
            raise UnsupportedLayerError("its depth or its values are computed", "make them constants")
        count, rank = int(depth.reshape(())), len(place.shape) + 1
        axis = place.attributes.get("axis", -1) % rank
        index = place.x
        if not place.floating:
            index = editor.op("Cast", index, to=TensorProto.FLOAT)
        index = editor.op("Unsqueeze", index, editor.constant([axis], "int64"))
        places = np.arange(count).reshape([count if other == axis else 1 for other in range(rank)])
        either = [
            editor.op("Cast", editor.op("Equal", index, editor.constant(counted)), to=TensorProto.FLOAT)
            for counted in (places, places - count)
        ]
        found = editor.op("Add", *either)
        off, on = (float(value) for value in values)
        if (off, on) != (0.0, 1.0):
            found = editor.op("Mul", found, editor.constant(on - off))
            found = editor.op("Add", found, editor.constant(off))
        editor.op("Identity", found, output=place.output)
        return True
