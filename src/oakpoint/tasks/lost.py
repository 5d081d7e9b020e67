"""How much of a network's outputs is lost in coarser arithmetic: measures that several tasks take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors


def unexplained_variance(expected: Tensors, got: Tensors, leave_out: frozenset[str] = frozenset()) -> float:
    """1 − R² of the output that is off most: squared errors over the squares of what varies, in [0, 1].

    0.01 is an error of a tenth of the standard deviation, or 20 dB. An output that does not vary is taken by its
    squares. NaN without any output.

    Args:
        expected: the outputs that are believed.
        got: those that are judged; what is not finite there is all wrong.
        leave_out: names of outputs that are not compared.
    """
    shares = []
    for name, values in expected.items():
        a, b = values.astype(np.float64), got[name].astype(np.float64)
        known = np.isfinite(a)
        if name in leave_out or not known.any():
            continue
        if not np.isfinite(b[known]).all():
            return 1.0
        spread = float(np.square(a[known] - a[known].mean()).sum()) or float(np.square(a[known]).sum())
        error = float(np.square(a[known] - b[known]).sum())
        shares.append(min(error / spread, 1.0) if spread else float(error > 0))
    return max(shares, default=float("nan"))


def accuracy_given_up(probabilities: NDArray[Any], chosen: NDArray[Any]) -> float:
    """By how much what another model chose is less probable than the best, in the mean: float in [0, 1].

    Where the probabilities are right, it is how much of the accuracy the other model loses. To choose the other one of
    two that are as likely costs nothing.

    Args:
        probabilities: (C, …) of the model that is believed.
        chosen: (…), the class that the other chose.
    """
    taken = np.take_along_axis(probabilities, chosen[np.newaxis].astype(np.int64), axis=0)[0]
    return float(np.nan_to_num(probabilities.max(axis=0) - taken, nan=1.0).mean())
