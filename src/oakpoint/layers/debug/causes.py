"""What an error of a layer looks like: a hint at what to look for, from the two tensors alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oakpoint.fp16 import LARGEST
from oakpoint.verify.rounding import STANDS_OUT

Array = NDArray[np.float32]

EXPLAINED: Final = 0.05
"""An error is explained by what leaves at most this share of its root mean square."""

_PART_OF_PEAK: Final = 1 / 16
"""A place is wrong where its error is at least so much of the largest."""

_MOST_CHANNELS: Final = 2048
_FARTHEST_SHIFT: Final = 2
_FEW: Final = 8
"""A fault of one in so many channels, or of a border of one in so many rows, is of these, and not of the layer."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """What the layer would give if something was otherwise.

    Attributes:
        words: what would be otherwise.
        values: the layer's output then.
        far_fetched: whether it explains only what nothing else does.
    """

    words: str
    values: Array
    far_fetched: bool = False


def cause_of(expected: Array, got: Array, alternatives: Sequence[Alternative] = ()) -> str:
    """Say what an error looks like.

    Args:
        expected: output of a layer, channels first, (C, …).
        got: what came in its place, of the same shape.
        alternatives: what it would be for reasons that the caller knows.
    """
    known = np.isfinite(expected)
    if not np.isfinite(got[known]).all():
        return _not_finite(expected, got, known)
    expected, got = np.where(known, expected, 0), np.where(known, got, 0)
    likely, others = ([a for a in alternatives if a.far_fetched is far] for far in (False, True))
    explanations = itertools.chain(
        _alternatives(expected, got, likely),
        _of_values(expected, got),
        _alternatives(expected, got, others),
        _of_places(expected, got),
    )
    return next(
        (words for words in explanations if words), "it is wrong everywhere: other weights, or another operation"
    )


def _not_finite(expected: Array, got: Array, known: NDArray[np.bool_]) -> str:
    share = float(np.mean(~np.isfinite(got[known])))
    largest = float(np.abs(expected[known]).max(initial=0.0))
    if np.isinf(got[known]).any() and largest > LARGEST:
        return (
            f"overflow of FP16: it should reach {largest:.4g}, and FP16 ends at {LARGEST:g} ({share:.2%} of the values)"
        )
    kind = "infinite" if np.isinf(got[known]).any() else "not a number"
    return (
        f"{share:.2%} of the values are {kind}: an overflow within the layer (a square, a sum, an exponential), a "
        "division by what FP16 makes zero, or memory that nothing has written"
    )


def _alternatives(expected: Array, got: Array, alternatives: Sequence[Alternative]) -> Iterator[str]:
    error = _rms(got - expected)
    for other in alternatives:
        if other.values.shape == got.shape and _rms(got - other.values) <= EXPLAINED * error:
            yield other.words


def _of_values(expected: Array, got: Array) -> Iterator[str]:
    error = _rms(got - expected)
    low, high = float(expected.min(initial=0.0)), float(expected.max(initial=0.0))
    if low >= 0 and got.min(initial=0.0) < 0 and _rms(np.maximum(got, 0) - expected) <= EXPLAINED * error:
        yield "negative values where there should be none: a ReLU is missing"
    if low < 0 and _rms(np.maximum(expected, 0) - got) <= EXPLAINED * error:
        yield "no negative values where there should be some: a ReLU too many"
    factor = float(
        (got * expected).sum(dtype=np.float64) / max(float(np.square(expected, dtype=np.float64).sum()), 1e-30)
    )
    if factor > 0 and _rms(got - factor * expected) <= EXPLAINED * error:
        yield f"everything is {factor:.4g} times what it should be: a scale (1/255 is 0.00392)"
    ends = float(got.min(initial=0.0)), float(got.max(initial=0.0))
    if (ends[1] < high or ends[0] > low) and _rms(np.clip(expected, *ends) - got) <= EXPLAINED * error:
        yield f"cut off at {ends[0]:.4g} and {ends[1]:.4g}: a clip of another range"
    if low < 0 and _rms(-expected - got) <= EXPLAINED * error:
        yield "every value has the other sign"
    if moved := _permuted(expected, got, error):
        yield moved


def _permuted(expected: Array, got: Array, error: float) -> str:
    """Whether channels stand in another order."""
    channels = len(expected)
    if not 1 < channels <= _MOST_CHANNELS or expected.size == channels:
        return ""
    one, other = expected.reshape(channels, -1).astype(np.float64), got.reshape(channels, -1).astype(np.float64)
    distances = (other**2).sum(1)[:, np.newaxis] + (one**2).sum(1) - 2 * other @ one.T
    order = distances.argmin(axis=1)
    if (order == np.arange(channels)).all() or len(set(order.tolist())) < channels:
        return ""
    if _rms(got - expected[order]) > EXPLAINED * error:
        return ""
    moved = [f"{here} ← {there}" for here, there in enumerate(order.tolist()) if here != there]
    return "channels in another order: " + ", ".join(moved[:4]) + (" …" if len(moved) > 4 else "")


def _of_places(expected: Array, got: Array) -> Iterator[str]:
    errors = np.abs(got - expected)
    wrong = errors >= max(_PART_OF_PEAK * float(errors.max(initial=0.0)), STANDS_OUT * float(np.median(errors)), 1e-30)
    channels = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
    is_map = expected.ndim == 3 and min(expected.shape[1:]) >= 2 * _FARTHEST_SHIFT + 1
    if is_map and (shift := _shift(expected, got)):
        yield shift
    if is_map and (border := _border(wrong.any(axis=0))):
        yield border
    if 0 < len(channels) <= max(1, len(wrong) // _FEW) and len(wrong) > 1:
        numbers = ", ".join(map(str, channels[:4].tolist())) + (" …" if len(channels) > 4 else "")
        of = "channel" if len(channels) == 1 else "channels"
        yield f"only {of} {numbers} of {len(wrong)}: its weights or biases are others"
    if is_map:
        rows, columns = (np.flatnonzero(wrong.any(axis=axes)) for axes in ((0, 2), (0, 1)))
        if len(rows) and (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) * 2 <= wrong[0].size:
            yield f"only rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}: a tile of it"


def _shift(expected: Array, got: Array) -> str:
    """Whether all stands some places away, but for what came in from outside."""
    far = _FARTHEST_SHIFT
    height, width = expected.shape[1:]
    inner = got[:, far : height - far, far : width - far]
    here = _rms(inner - expected[:, far : height - far, far : width - far])
    if not here:
        return ""
    for down in range(-far, far + 1):
        for right in range(-far, far + 1):
            rows, columns = slice(far - down, height - far - down), slice(far - right, width - far - right)
            if (down or right) and _rms(inner - expected[:, rows, columns]) <= EXPLAINED * here:
                return (
                    f"it lies {_way(right, 'right', 'left')}{_way(down, 'down', 'up')}from where it should: a wrong pad"
                )
    return ""


def _way(places: int, there: str, back: str) -> str:
    return f"{abs(places)} {there if places > 0 else back} " if places else ""


def _border(wrong: NDArray[np.bool_]) -> str:
    """Whether only places near the border are wrong."""
    height, width = wrong.shape
    rows, columns = np.nonzero(wrong)
    depth = np.minimum.reduce([rows, height - 1 - rows, columns, width - 1 - columns])
    width_of_it = int(depth.max(initial=-1)) + 1
    if not 0 < width_of_it <= max(1, min(height, width) // _FEW):
        return ""
    return (
        f"only within {width_of_it} of the border: a wrong pad, a mean that was put into a layer which pads with "
        "zeros, or an average that counts the border otherwise"
    )


def _rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
