"""What an error of a layer looks like: a hint at what to look for, from the two tensors alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
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

_NEGLIGIBLE: Final = 0.01
"""Likewise of the root mean square of all errors, for places that are told to be right."""

_MOST_CHANNELS: Final = 2048
_ENOUGH: Final = 16
"""Values of a channel from which a number of its own can be told."""

_FARTHEST_SHIFT: Final = 2
_FEW: Final = 8
"""A fault of one in so many channels, or of a border of one in so many rows, is of these, and not of the layer."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """What the layer would give if something was otherwise.

    Attributes:
        words: what would be otherwise.
        values: the layer's output then.
    """

    words: str
    values: Array


def cause_of(
    expected: Array,
    got: Array,
    likely: Iterable[Alternative] = (),
    far_fetched: Iterable[Alternative] = (),
    *,
    rounding: float = 0.0,
) -> str:
    """Say what an error looks like.

    Args:
        expected: output of a layer, channels first, (C, …).
        got: what came in its place, of the same shape.
        likely: what it would be for reasons that the caller knows; asked for one by one until one explains the error.
        far_fetched: likewise, of reasons that explain only what nothing else does.
        rounding: how large errors may be that are none, as a share of the root mean square of all values.
    """
    known = np.isfinite(expected)
    if not np.isfinite(got[known]).all():
        return _not_finite(expected, got, known)
    expected, got = np.where(known, expected, 0), np.where(known, got, 0)
    explanations = itertools.chain(
        _alternatives(expected, got, likely),
        _of_values(expected, got),
        _alternatives(expected, got, far_fetched),
        _of_places(expected, got, rounding * _rms(expected)),
        _by_channel(expected, got),
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
        "division by what FP16 makes zero, a weight that is no number, or memory that nothing has written"
    )


def _alternatives(expected: Array, got: Array, alternatives: Iterable[Alternative]) -> Iterator[str]:
    """What explains the error best; the first that leaves next to nothing of it."""
    error = _rms(got - expected)
    best = EXPLAINED * error, ""
    for other in alternatives:
        if other.values.shape != got.shape:
            continue
        left = _rms(got - other.values)
        if left <= _NEGLIGIBLE * error:
            yield other.words
        if left <= best[0]:
            best = left, other.words
    if best[1]:
        yield best[1]


def _of_values(expected: Array, got: Array) -> Iterator[str]:
    error = _rms(got - expected)
    low, high = float(expected.min(initial=0.0)), float(expected.max(initial=0.0))
    if low >= 0 and got.min(initial=0.0) < 0 and _rms(np.maximum(got, 0) - expected) <= EXPLAINED * error:
        yield "negative values where there should be none: no ReLU, or one that lets some of them through"
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
    if low < 0 < high and (slope := _slope(expected, got, error)):
        yield slope
    if low < 0 and _rms(-expected - got) <= EXPLAINED * error:
        yield "every value has the other sign"
    if moved := _permuted(expected, got, error):
        yield moved


def _by_channel(expected: Array, got: Array) -> Iterator[str]:
    """Whether each channel is off by a number of its own, or a multiple of what it should be."""
    error, channels = _rms(got - expected), len(expected)
    if expected.size < _ENOUGH * channels or channels == 1:
        return
    one, other = expected.reshape(channels, -1).astype(np.float64), got.reshape(channels, -1).astype(np.float64)
    if _rms(other - one - (other - one).mean(axis=1, keepdims=True)) <= EXPLAINED * error:
        yield "each channel is off by the same everywhere: other biases"
    factors = (one * other).sum(axis=1, keepdims=True) / np.maximum(np.square(one).sum(axis=1, keepdims=True), 1e-30)
    if _rms(other - factors * one) <= EXPLAINED * error:
        yield (
            f"each channel is a multiple of what it should be, from {factors.min():.4g} to {factors.max():.4g}: other "
            "scales of the channels"
        )


def _slope(expected: Array, got: Array, error: float) -> str:
    """Whether negative values alone are a multiple of what they should be."""
    negative = np.minimum(expected, 0).astype(np.float64)
    factor = float((negative * got).sum() / np.square(negative).sum())
    if factor < 0 or _rms(got - np.where(expected < 0, factor * expected, expected)) > EXPLAINED * error:
        return ""
    return f"negative values are {factor:.4g} times what they should be: another slope of a LeakyRelu"


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


def _of_places(expected: Array, got: Array, rounding: float) -> Iterator[str]:
    """Where it is wrong, if all the rest is right: off by no more than a root mean square of ``rounding``."""
    errors = np.abs(got - expected)
    allowed = max(rounding, _NEGLIGIBLE * _rms(errors))
    wrong = errors >= max(_PART_OF_PEAK * float(errors.max(initial=0.0)), STANDS_OUT * float(np.median(errors)), 1e-30)
    is_map = expected.ndim == 3 and min(expected.shape[1:]) >= 2 * _FARTHEST_SHIFT + 1
    if is_map and (shift := _shift(expected, got)):
        yield shift
    if is_map and (depth := _border(wrong.any(axis=0))) and _rms(errors[:, depth:-depth, depth:-depth]) <= allowed:
        yield (
            f"only within {depth} of the border: a wrong pad, a mean that was put into a layer which pads with "
            "zeros, or an average that counts the border otherwise"
        )
    of_channels = np.asarray([_rms(channel) for channel in errors])
    channels = np.flatnonzero(of_channels > allowed)
    if 0 < len(channels) <= max(1, len(wrong) // _FEW) and len(wrong) > 1:
        numbers = ", ".join(map(str, channels[:4].tolist())) + (" …" if len(channels) > 4 else "")
        of = "channel" if len(channels) == 1 else "channels"
        yield f"only {of} {numbers} of {len(wrong)}: its weights or biases are others"
    if is_map:
        rows, columns = (np.flatnonzero(wrong.any(axis=axes)) for axes in ((0, 2), (0, 1)))
        if len(rows) and (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) * 2 <= wrong[0].size:
            rest = errors.copy()
            rest[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 0
            if _rms(rest) <= allowed:
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


def _border(wrong: NDArray[np.bool_]) -> int:
    """How many places deep along the border those are that are wrong; 0 where some lie farther in."""
    height, width = wrong.shape
    rows, columns = np.nonzero(wrong)
    depth = int(np.minimum.reduce([rows, height - 1 - rows, columns, width - 1 - columns]).max(initial=-1)) + 1
    return depth if depth <= max(1, min(height, width) // _FEW) else 0


def _rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
