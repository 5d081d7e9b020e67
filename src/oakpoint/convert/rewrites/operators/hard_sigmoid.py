"""HardSigmoid, which the compiler does not take, and with it hard-swish."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from oakpoint.convert.rewrites.local import LocalRewrite, Place

_OF_HARD_SWISH = (1 / 6, 0.5)


class HardSigmoid(LocalRewrite):
    """``HardSigmoid(x)`` becomes ``clip(αx + β, 0, 1)``, which is its definition: a power and a clamp on the device.

    Where it gates its own input, ``x · HardSigmoid(x)`` with α = 1/6 and β = 1/2, it is written ``clip(x + 3, 0, 6) /
    6`` instead. The compiler makes one hard-swish stage of that form and its product, and four of the other.
    """

    name = "hard-sigmoid"
    operators: ClassVar[frozenset[str]] = frozenset({"HardSigmoid"})
    tolerance = 1e-6

    def replace(self, place: Place) -> bool:
        """See ``LocalRewrite.replace``."""
        editor = place.editor
        alpha, beta = place.attributes.get("alpha", 0.2), place.attributes.get("beta", 0.5)
        if np.allclose((alpha, beta), _OF_HARD_SWISH, rtol=1e-6, atol=0) and _gates_its_input(place):
            raised = editor.op("Add", place.x, editor.constant(3.0))
            limited = editor.op("Clip", raised, editor.constant(0.0), editor.constant(6.0))
            editor.op("Mul", limited, editor.constant(1 / 6), output=place.output)
            return True
        line = editor.op("Mul", place.x, editor.constant(alpha))
        line = editor.op("Add", line, editor.constant(beta))
        editor.op("Clip", line, editor.constant(0.0), editor.constant(1.0), output=place.output)
        return True


def _gates_its_input(place: Place) -> bool:
    users = place.known.consumers.get(place.output, [])
    return (
        len(users) == 1
        and users[0].op_type == "Mul"
        and set(users[0].input) == {place.x, place.output}
        and place.output not in place.known.outputs
    )
