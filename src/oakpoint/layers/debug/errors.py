"""The error of each layer's output: as it has grown up to there, and what the layer adds by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from oakpoint.layers.names import Layer
from oakpoint.verify.rounding import STANDS_OUT, ErrorSizes
from oakpoint.verify.tolerances import BLOB_STAGE, DEVICE_STAGE, IR_STAGE, ONNX_STAGE

Array = NDArray[Any]
Kind = Literal["fine", "amplified", "jump", "not finite"]

AMPLIFIED: Final = STANDS_OUT
"""Of an error that a layer makes so many times larger than those it was given, without a fault of its own."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may add, relative, whatever rounding explains.

    Attributes:
        mean_square: root mean square of the errors, of all or of one channel, of the root mean square of all values.
        largest: error, of the largest value.
        reason: where both come from.
        by_channel: whether rounding is known so well that it may be said of a single channel: not where constants are
            rounded, whose errors in the few weights of a channel cancel by chance, or do not.
    """

    mean_square: float
    largest: float
    reason: str
    by_channel: bool = False


_FLOAT32 = "float32 sums in another order: 1e-6 of a value"
_WEIGHTS = "constants rounded to FP16, 2^-12 of themselves, some of them products"
_FP16 = "FP16 in and out, 2^-12 of each value, and steps of a SHAVE that round one by one"

OWN_LIMITS: Final = {
    ONNX_STAGE: Limits(1e-4, 1e-3, _FLOAT32, by_channel=True),
    IR_STAGE: Limits(2e-3, 4e-3, _WEIGHTS),
    DEVICE_STAGE: Limits(2e-3, 4e-3, _WEIGHTS),
    BLOB_STAGE: Limits(2e-3, 4e-3, _FP16, by_channel=True),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How large errors are, relative to the values; not-a-number where nothing was measured.

    Attributes:
        mean_square: root mean square, of that of the values.
        largest: of the largest value.
        usual: likewise what one place in a hundred exceeds, among those of which the largest error stands out most.
        channel: root mean square of the errors of the worst channel, of the root mean square of all values.
    """

    mean_square: float = float("nan")
    largest: float = float("nan")
    usual: float = float("nan")
    channel: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerError:
    """What becomes of the output of a layer, or of several that run as one.

    Attributes:
        tensor: the output's name.
        shape: its shape.
        layers: of the user's network, by which it comes from the tensors before it that are looked at; the last one
            gives it.
        grown: the error in a run of the whole network.
        own: the error where the layers before gave what they should.
        rounding: what comes of rounding the layer's inputs and its output to FP16; 0 where nothing is rounded.
        largest_expected: the largest magnitude that it should have.
        not_finite: values that are none, and should be, where the layers before gave what they should.
        grown_not_finite: likewise in a run of the whole network.
        reference_not_finite: values that are no finite numbers in the reference already.
        worst_image: on which ``own`` is largest.
        kind: the verdict.
    """

    tensor: str
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    grown: Size
    own: Size
    rounding: Size
    largest_expected: float
    not_finite: int = 0
    grown_not_finite: int = 0
    reference_not_finite: int = 0
    worst_image: str = ""
    kind: Kind = "fine"

    @property
    def at_fault(self) -> bool:
        """Whether it does more than rounding explains."""
        return self.kind in ("jump", "not finite")

    @property
    def shown(self) -> str:
        """The layers for people."""
        return " + ".join(dict.fromkeys(layer.shown for layer in self.layers)) or self.tensor

    @property
    def operators(self) -> str:
        """Their types."""
        return " + ".join(layer.operator for layer in self.layers)


@dataclass(slots=True)
class ByChannel:
    """Squares of errors, and of values, summed for each channel."""

    errors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    values: float = 0.0

    def add(self, expected: NDArray[np.float32], got: NDArray[np.float32]) -> None:
        """Take one image's tensors, channels first."""
        known = np.isfinite(expected) & np.isfinite(got)
        squares = np.square(np.where(known, got - expected, 0), dtype=np.float64).reshape(len(expected), -1).sum(axis=1)
        self.errors = squares if not len(self.errors) else self.errors + squares
        self.values += float(np.square(np.where(known, expected, 0), dtype=np.float64).sum())

    def sizes(self) -> NDArray[np.float64]:
        """Root mean square of each channel's errors, of that of all values; zeros where all values are zero."""
        return np.sqrt(self.errors * len(self.errors) / self.values) if self.values else np.zeros_like(self.errors)


@dataclass(slots=True)
class Measured:
    """The errors of one tensor, gathered over images."""

    own: ErrorSizes = field(default_factory=ErrorSizes)
    grown: ErrorSizes = field(default_factory=ErrorSizes)
    rounding: ErrorSizes = field(default_factory=ErrorSizes)
    own_channels: ByChannel = field(default_factory=ByChannel)
    rounding_channels: ByChannel = field(default_factory=ByChannel)
    not_finite: int = 0
    grown_not_finite: int = 0
    reference_not_finite: int = 0
    worst: tuple[float, str] = (-1.0, "")

    def add(self, image: str, expected: Array, grown: Array, own: Array, rounded: Sequence[Array]) -> None:
        """Take what one image gave, and what rounding makes of it, in several ways; all have one shape."""
        whole, known = channels_first(expected), np.isfinite(expected)
        self.reference_not_finite += int(expected.size - np.count_nonzero(known))
        self.not_finite += int(np.count_nonzero(known & ~np.isfinite(own)))
        broken = int(np.count_nonzero(known & ~np.isfinite(grown)))
        self.grown_not_finite += broken
        self.own.add(whole, channels_first(own))
        with np.errstate(invalid="ignore", over="ignore"):
            self.own_channels.add(whole, channels_first(own))
        self.grown.add(whole, channels_first(grown))
        for explained in rounded:
            self.rounding.add(whole, channels_first(explained))
            self.rounding_channels.add(whole, channels_first(explained))
        with np.errstate(invalid="ignore"):
            errors = np.where(known, np.nan_to_num(np.abs(own - expected), nan=np.inf, posinf=np.inf), 0)
        error = float(errors.max(initial=0.0))
        self.worst = max(self.worst, (np.inf if broken else error, image))

    def result(
        self,
        tensor: str,
        shape: tuple[int, ...],
        layers: Sequence[Layer],
        limits: Limits,
        given: Collection[LayerError],
    ) -> LayerError:
        """The verdict.

        Args:
            tensor: its name.
            shape: its shape.
            layers: that give it.
            limits: what a layer may add.
            given: what was found of the tensors that it is calculated from.
        """
        own, grown = _size(self.own, limits.largest), _size(self.grown, None)
        own = replace(own, channel=float(self.own_channels.sizes().max(initial=0.0)))
        rounding = _size(self.rounding, None) if self.rounding.alike() else Size(0.0, 0.0, 0.0)
        kind: Kind = "fine"
        begins = self.grown_not_finite and not any(error.grown_not_finite for error in given)
        if self.not_finite or begins:
            kind = "not finite"
        elif _jumps(own, rounding, limits) or (limits.by_channel and self._in_a_channel(limits)):
            kind = "jump"
        elif _amplifies(grown, own, limits, given):
            kind = "amplified"
        return LayerError(
            tensor=tensor,
            shape=shape,
            layers=tuple(layers),
            grown=grown,
            own=own,
            rounding=rounding,
            largest_expected=self.own.largest_expected,
            not_finite=self.not_finite,
            grown_not_finite=self.grown_not_finite,
            reference_not_finite=self.reference_not_finite,
            worst_image=self.worst[1],
            kind=kind,
        )

    def _in_a_channel(self, limits: Limits) -> bool:
        """Whether a channel is off by more than rounding explains: one of many adds little to the error of all."""
        own, rounding = self.own_channels.sizes(), self.rounding_channels.sizes()
        explained = rounding if len(rounding) == len(own) else np.zeros_like(own)
        return bool((own > np.maximum(limits.mean_square, STANDS_OUT * explained)).any())


def _size(errors: ErrorSizes, limit: float | None) -> Size:
    found = errors.relative(limit)
    return Size(found["root mean square"], found["largest"], found["usual"])


def _jumps(own: Size, rounding: Size, limits: Limits) -> bool:
    """Whether an error is more than rounding explains: everywhere, or somewhere."""
    everywhere = own.mean_square > max(limits.mean_square, STANDS_OUT * rounding.mean_square)
    largest = max(limits.largest, STANDS_OUT * max(own.usual, rounding.largest))
    return everywhere or own.largest > largest


def _amplifies(grown: Size, own: Size, limits: Limits, given: Collection[LayerError]) -> bool:
    before = max((error.grown.mean_square for error in given), default=0.0)
    return grown.mean_square > AMPLIFIED * max(before, own.mean_square, limits.mean_square / AMPLIFIED)


def channels_first(array: Array) -> NDArray[np.float32]:
    """A tensor without a batch of one, of at least one dimension, as float32."""
    whole = np.asarray(array, np.float32)
    return np.atleast_1d(whole[0] if whole.ndim > 1 and whole.shape[0] == 1 else whole)
