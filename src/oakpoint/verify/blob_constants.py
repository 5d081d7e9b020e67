"""The constants of a blob against those of the device graph that it was compiled from, value by value.

A compiler cuts weights into tiles and groups, fills up channels, turns kernels, multiplies everything by a power of two
that the scales take back, and folds factors in. So each tensor of the blob is looked for among those of the graph: by
the signs of its values, which nothing of this changes, and then by the values themselves. What is found has to be equal
in every bit. What is found nowhere is counted, and accuses nobody; so is what the compiler computed in a way that is
not known to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.fp16 import LARGEST
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.constants import Places, Values, Weights, constants_of
from oakpoint.verify.graph_weights import GraphWeights, Kernel, Precision, Vector, graph_weights

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

NEAR = 0.5
"""A tensor of the blob is one of the graph's, altered, where at least this share of its values is the same."""

FEWEST = 4
"""Of fewer values, most being the same says nothing: they are found where all are the same, or not at all."""

SIGN_AGREEMENT = 0.5
"""Of the signs of two tensors before their values are compared; at random it is about 0."""

PROBES = 8
"""Output channels by whose signs a tensor is looked for."""

SMALLEST_NORMAL = 2.0**-14
"""FP16's smallest normal number: what a power of two leaves below it, the compiler rounds to this or to zero."""

ROUNDING = 2.0**-6
"""Of values that the compiler computed, relative: it does so in FP16, sums of squares included."""

TRIED = 32
"""Places in the graph of which the values are compared with one tensor's, at most."""


@dataclass(frozen=True, slots=True)
class ConstantsReport:
    """How the constants of a blob stand to those of the device graph.

    Attributes:
        equal: how many tensors are as in the graph.
        altered: what differs, for people.
        exact: of each value that was compared in every bit, the first byte in the blob's constant section.
        computed: how many further values agree to the rounding of what the compiler computes.
        values: how many values the blob's stages use.
    """

    equal: int = 0
    altered: tuple[str, ...] = ()
    exact: Places = field(default_factory=lambda: np.empty(0, np.int64))
    computed: int = 0
    values: int = 0

    @property
    def share_equal(self) -> float:
        """Of the tensors that were found in the graph; NaN where none was."""
        compared = self.equal + len(self.altered)
        return self.equal / compared if compared else float("nan")

    @property
    def share_compared(self) -> float:
        """Of all values; NaN for a blob without constants."""
        return (len(self.exact) + self.computed) / self.values if self.values else float("nan")


def compare_blob_constants(blob: Blob, model: onnx.ModelProto) -> ConstantsReport:
    """Look for every FP16 constant of a blob in the device graph.

    Args:
        blob: the blob.
        model: the graph that it was compiled from, see ``device_graph``.

    Raises:
        BlobError: weights that do not have the size that their stage takes.
    """
    constants = constants_of(blob)
    graph = graph_weights(model)
    judged = [judgement for weights in constants.weights for judgement in _judged_weights(weights, graph)]
    judged += [_judged_vector(vector, graph) for vector in constants.vectors]
    exact = [judgement for judgement in judged if judgement.exact]
    places = [judgement.values.places.reshape(-1) for judgement in exact if judgement.same is not None]
    return ConstantsReport(
        equal=sum(judgement.outcome == "equal" for judgement in exact),
        altered=tuple(judgement.text for judgement in exact if judgement.outcome == "altered"),
        exact=np.concatenate([*places, np.empty(0, np.int64)]),
        computed=sum(j.values.values.size for j in judged if not j.exact and j.outcome == "equal"),
        values=sum(judgement.values.values.size for judgement in judged),
    )


@dataclass(frozen=True, slots=True)
class _Judgement:
    """A tensor of the blob.

    Attributes:
        values: its values.
        what: what it is to its stage, for people.
        same: which of the values are as they should be; None where nothing says how they should be.
        exact: whether they should be so in every bit.
    """

    values: Values
    what: str
    same: Flags | None
    exact: bool = True

    @property
    def outcome(self) -> str:
        """``equal``, ``altered`` or ``unknown``."""
        if self.same is None:
            return "unknown"
        return "equal" if self.same.all() else "altered"

    @property
    def text(self) -> str:
        """What differs, in a line."""
        differing = 0 if self.same is None else np.count_nonzero(~self.same)
        return f"{self.values.stage}: {differing} of {self.values.values.size} values of its {self.what}"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a blob's weights stand in the graph.

    Attributes:
        kernel: in which.
        first: the output channel with which they begin.
        exponent: of the power of two that they were multiplied with.
        expected: the values as the compiler stores them.
        same: which of the values are equal, or nearly so where they were computed.
    """

    kernel: Kernel
    first: int
    exponent: int
    expected: NDArray[np.float16]
    same: Flags


def _judged_weights(weights: Weights, graph: GraphWeights) -> Iterator[_Judgement]:
    places = sorted(_places(weights, graph.kernels), key=lambda place: -_share(place.same, weights.kernel.values))
    needed = NEAR if weights.kernel.values.size >= FEWEST else 1.0
    best = places[0] if places and _share(places[0].same, weights.kernel.values) >= needed else None
    if best is None:
        for values, what in ((weights.kernel, "weights"), (weights.scale, "scales"), (weights.bias, "biases")):
            if values is not None:
                yield _Judgement(values, what, None)
        return
    judged = _judged(weights.kernel, f"weights ({best.kernel.name})", best.expected, best.kernel.precision)
    yield replace(judged, exact=judged.exact and needed < 1)
    if weights.scale is not None:
        scale = np.full(weights.scale.values.shape, 2.0**-best.exponent / weights.factor, np.float16)
        yield _judged(weights.scale, "scales", scale, "stored" if weights.factor == 1 else "stepped")
    if weights.bias is not None:
        # Two layers may have the same weights and other biases.
        equals = [place for place in places if place.same.sum() == best.same.sum()]
        yield max((_judged_bias(weights.bias, place) for place in equals), key=_agreement)


def _agreement(judgement: _Judgement) -> tuple[int, bool]:
    return (0 if judgement.same is None else int(np.count_nonzero(judgement.same)), judgement.exact)


def _judged(
    values: Values,
    what: str,
    expected: NDArray[np.float16],
    precision: Precision,
    *,
    reach: Array | None = None,
    surely: bool = True,
) -> _Judgement:
    """Hold values against the expected ones.

    What was stored has to be equal in every bit, and is something else where most of it differs. Where it is not sure
    that these are the values to expect, or where they were computed step by step, one bit of one value is evidence, and
    more of them say that something else was to be expected.

    Args:
        values: of the blob.
        what: they are.
        expected: as the compiler stores them.
        precision: of the expected ones.
        reach: what the rounding of computed values is relative to, where that is not themselves.
        surely: whether it is known otherwise, by the weights beside them, that these values are to be expected.
    """
    same = np.asarray(values.values.view(np.uint16) == expected.view(np.uint16))
    if same.all() or _one_bit_apart(values.values, expected):
        if precision != "computed":
            return _Judgement(values, what, same)
    elif precision == "stored":
        return _Judgement(values, what, same if surely and same.mean() >= NEAR else None)
    wanted = expected.astype(np.float32)
    allowed = np.maximum((np.abs(wanted) if reach is None else reach) * ROUNDING, SMALLEST_NORMAL)
    near = np.asarray(np.abs(values.values.astype(np.float32) - wanted) <= allowed)
    return _Judgement(values, what, near if near.all() else None, exact=False)


def _share(same: Flags, values: NDArray[Any]) -> float:
    """Share of the values that are the same, of those that say anything: zeros are everywhere."""
    telling = values != 0
    return float(same[telling].mean()) if telling.any() else float(same.mean())


def _places(weights: Weights, kernels: Sequence[Kernel]) -> Iterator[_Place]:
    values = _finite(weights.kernel.values)
    for kernel in kernels:
        for row, part in _parts(kernel, values):
            for first in _first_channels(values, part):
                expected = part[first : first + len(values)]
                for exponent in _exponents(weights, values, expected):
                    stored = _stored(expected, exponent)
                    same = _alike(weights.kernel.values, stored, kernel.precision)
                    yield _Place(kernel, row + first, exponent, stored, same)


def _parts(kernel: Kernel, values: Array) -> Iterator[tuple[int, Array]]:
    """The weights (O', C, K) of a kernel that may be those of a blob's (O, C, K), and with which channel they begin.

    The blob's may be a part of the input channels, filled up with zeros, or several groups beside each other.
    """
    channels, taps = values.shape[1:]
    own = kernel.values
    if own.shape[2] == 1 and taps > 1 and own.shape[1] % taps == 0:  # a matrix product as a convolution
        own = own.reshape(len(own), -1, taps)
    if own.shape[2] != taps:
        return
    if kernel.groups > 1 and channels > own.shape[1]:
        yield from _groups_together(own, kernel.groups, channels)
    whole = own.shape[1]
    for first, count in sorted(_spans(whole, channels, values)):
        part = own[:, first : first + count]
        missing = channels - part.shape[1]
        yield 0, np.pad(part, ((0, 0), (0, missing), (0, 0))) if missing else part


def _spans(whole: int, channels: int, values: Array) -> set[tuple[int, int]]:
    """First input channel and number of input channels that weights for ``channels`` may hold of ``whole``."""
    if whole <= channels:
        return {(0, whole)}
    parts = -(-whole // channels)
    live = int(np.flatnonzero(values.any(axis=(0, 2)))[-1]) + 1 if values.any() else channels
    counts = {channels, live, *(-(-whole // number) for number in (parts, parts + 1))}
    spans = {(first, count) for count in counts for first in range(0, whole, count)}
    return spans | {(whole - count, count) for count in counts}


def _groups_together(own: Array, groups: int, channels: int) -> Iterator[tuple[int, Array]]:
    """Weights of as many groups as have ``channels`` input channels together; between the groups they are zero."""
    outputs, inputs = len(own) // groups, own.shape[1]
    together = channels // inputs
    for first in range(0, groups, together):
        block = np.zeros((together * outputs, channels, own.shape[2]), np.float32)
        for index in range(min(together, groups - first)):
            rows = slice(index * outputs, (index + 1) * outputs)
            source = own[(first + index) * outputs : (first + index + 1) * outputs]
            block[rows, index * inputs : (index + 1) * inputs] = source
        yield first * outputs, block


def _first_channels(values: Array, part: Array) -> list[int]:
    """Where a blob's weights may begin among the output channels of a graph's, the likeliest first."""
    beyond = len(part) - len(values)
    if beyond < 0:
        return []
    telling = np.flatnonzero(values.any(axis=(1, 2)))
    if not len(telling):
        return list(range(min(beyond + 1, TRIED)))
    probes = telling[:PROBES]
    signs = np.sign(values[probes]).reshape(len(probes), -1).astype(np.float32)
    agreement = signs @ np.sign(part).reshape(len(part), -1).T.astype(np.float32)
    total = sum(agreement[row, probe : probe + beyond + 1] for row, probe in enumerate(probes)) / np.abs(signs).sum()
    likely = np.flatnonzero(total >= SIGN_AGREEMENT)
    return [int(first) for first in likely[np.argsort(-total[likely], kind="stable")][:TRIED]]


def _finite(values: NDArray[np.float16]) -> Array:
    """To look for a tensor by: a flipped bit may have made one of its values infinite or not a number."""
    return np.where(np.isfinite(values), values, np.float16(0)).astype(np.float32)


def _exponents(weights: Weights, values: Array, expected: Array) -> set[int]:
    """Powers of two by which the blob's weights may have been multiplied: by their size, and by their scales."""
    both = (values != 0) & (expected != 0) & np.isfinite(expected)
    scales = np.empty(0, np.float32) if weights.scale is None else _finite(weights.scale.values)
    exponents = {
        sign * round(float(np.median(np.log2(factors))))
        for sign, ratios in ((1, np.abs(values[both] / expected[both])), (-1, scales * weights.factor))
        if len(factors := ratios[(ratios > 0) & np.isfinite(ratios)])  # what overflows FP16 tells no exponent
    }
    return exponents or {0}


def _stored(values: Array, exponent: int) -> NDArray[np.float16]:
    """The graph's values times 2^exponent as the compiler stores them."""
    scaled = np.clip(np.ldexp(values, exponent), -LARGEST, LARGEST)  # as the compiler clips what goes beyond
    if exponent:
        size = np.where(np.abs(scaled) >= SMALLEST_NORMAL / 2, SMALLEST_NORMAL, 0.0)
        scaled = np.where(np.abs(scaled) < SMALLEST_NORMAL, np.copysign(size, scaled), scaled)
    return np.asarray(scaled, np.float16)


def _alike(values: NDArray[np.float16], expected: NDArray[np.float16], precision: Precision) -> Flags:
    if precision != "computed":
        return np.asarray(values.view(np.uint16) == expected.view(np.uint16))
    first, second = values.astype(np.float32), expected.astype(np.float32)
    return np.asarray(np.abs(first - second) <= np.maximum(np.abs(second) * ROUNDING, SMALLEST_NORMAL))


def _one_bit_apart(values: NDArray[np.float16], expected: NDArray[np.float16]) -> bool:
    """Whether all values together differ from the expected ones in a single bit."""
    return int(np.bitwise_count(values.view(np.uint16) ^ expected.view(np.uint16)).sum()) == 1


def _judged_bias(bias: Values, place: _Place) -> _Judgement:
    rows = slice(place.first, place.first + len(bias.values))
    kernel = place.kernel
    expected = _stored(kernel.bias.values[rows], place.exponent)
    reach = np.ldexp(kernel.bias_reach[rows], place.exponent)
    return _judged(bias, f"biases ({kernel.name})", expected, kernel.bias.precision, reach=reach)


def _judged_vector(vector: Values, graph: GraphWeights) -> _Judgement:
    """Biases, scales and operands of other stages."""
    values = Values(vector.stage, vector.values.reshape(-1), vector.places.reshape(-1))
    few = values.values.size < FEWEST
    found = [] if few else [_judged_as_uniform(values)]
    for candidate in _vectors(graph, values.values.size):
        for exponent in {0} if few else _exponents(Weights(values), _finite(values.values), candidate.values):
            expected = _stored(candidate.values, exponent)
            judgement = _judged(values, "values", expected, candidate.precision, surely=False)
            if not few or judgement.outcome == "equal":
                found.append(replace(judgement, exact=judgement.exact and not few))
    return max(found, key=_agreement, default=_Judgement(values, "values", None))


def _vectors(graph: GraphWeights, size: int) -> Iterator[Vector]:
    """Constants of the graph, and parts of them, with as many values, in one dimension."""
    for kernel in graph.kernels:
        for first in range(0, len(kernel.bias.values) - size + 1, size):
            yield Vector(kernel.bias.values[first : first + size], kernel.bias.precision)
    for vector in graph.vectors:
        if vector.values.size == size:
            yield replace(vector, values=vector.values.reshape(-1))
            if vector.values.ndim == 2:
                yield replace(vector, values=vector.values.T.reshape(-1))


def _judged_as_uniform(values: Values) -> _Judgement:
    """Scales that take a power of two back are all one: 2^-k, k > 0; shifts that the compiler adds are all zero."""
    numbers, counts = np.unique(values.values, return_counts=True)
    commonest = float(numbers[counts.argmax()])
    is_scale = 0 < commonest < 1 and np.frexp(commonest)[0] == 0.5
    if not is_scale and commonest != 0:
        return _Judgement(values, "values", None)
    expected = np.full(values.values.shape, commonest, np.float16)
    return _judged(values, "values", expected, "stored", surely=False)
