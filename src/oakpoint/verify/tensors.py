"""How far the raw outputs of two models agree, whatever they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.errors import BackendError
from oakpoint.verify.comparison import Comparison
from oakpoint.verify.rounding import STANDS_OUT, ErrorSizes
from oakpoint.verify.rows import ROWS_IN_COMMON, ROWS_REASON, RowsInCommon
from oakpoint.verify.tolerances import (
    BLOB_STAGE,
    CAMERA_STAGE,
    DEVICE_STAGE,
    IR_STAGE,
    ONNX_ARCHIVE_STAGE,
    ONNX_STAGE,
    Tolerance,
    at_least,
    at_most,
)

_IN_FLOAT32 = (
    "float32 sums in another order: 1e-6 of a value, more behind norms of nearly flat images; measured 1.3e-4 behind a "
    "sigmoid fifty times as steep, as text detectors have it"
)
_IN_FP16 = "weights rounded to FP16, 2^-12 of themselves, through some tens of layers"
_ON_DEVICE = "FP16 weights and activations, 2^-11 of themselves at every layer"


@dataclass(frozen=True, slots=True)
class _Limits:
    """Of one stage: root mean square and largest error, relative; cosine."""

    mean_square: float
    largest: float
    cosine: float
    reason: str


LIMITS = {
    ONNX_STAGE: _Limits(1e-3, 5e-4, 0.99999, _IN_FLOAT32),
    ONNX_ARCHIVE_STAGE: _Limits(1e-3, 5e-4, 0.99999, _IN_FLOAT32),
    IR_STAGE: _Limits(1.5e-2, 1e-2, 0.9998, _IN_FP16),
    DEVICE_STAGE: _Limits(1.5e-2, 1e-2, 0.9998, _IN_FP16),
    BLOB_STAGE: _Limits(3e-2, 1e-2, 0.9995, _ON_DEVICE),
    CAMERA_STAGE: _Limits(3e-2, 1e-2, 0.9995, _ON_DEVICE),
}
"""A root mean square error r of what is 1 large leaves a cosine of about 1 − r²/2 and a signal-to-noise ratio of
−20 log₁₀ r decibels: 30 dB at 3e-2."""


PROBABILITIES = frozenset({"Sigmoid", "Softmax"})
"""Operators whose outputs may be judged by their log-odds.

Where such a network finds nothing, all is rounding's: the map of a text detector (PP-OCRv6) on photographs without
text, 0.0001 nearly everywhere, was off by 3.9e-2 of itself, and its log-odds by 1.2e-3.
"""

_LEAST, _MOST = 2.0**-14, 1 - 2.0**-11
"""Between these FP16 tells probabilities apart to its full precision."""


@dataclass(slots=True)
class _Products:
    """Sums over images from which the cosine of two tensors follows."""

    both: float = 0.0
    expected: float = 0.0
    got: float = 0.0

    def add(self, expected: NDArray[Any], got: NDArray[Any]) -> None:
        known = np.isfinite(expected) & np.isfinite(got)
        a, b = (side[known].astype(np.float64) for side in (expected, got))
        self.both += float(a @ b)
        self.expected += float(a @ a)
        self.got += float(b @ b)

    def with_other(self, other: _Products) -> _Products:
        """Those of both."""
        return _Products(self.both + other.both, self.expected + other.expected, self.got + other.got)

    def cosine(self) -> float:
        """1 where both are zero everywhere, 0 where one is."""
        if self.expected == 0 or self.got == 0:
            return float(self.expected == self.got)
        return self.both / math.sqrt(self.expected * self.got)


@final
@dataclass(slots=True)
class TensorAgreement(Comparison[Tensors]):
    """Relative errors, signal-to-noise ratio and cosine of each output, by name.

    What a sigmoid or softmax puts out is as good as its values or its log-odds, whichever agree better: a network that
    leaves the sigmoid to its user is judged by those alone.

    Attributes:
        stage: whose limits count.
        images: how many were compared.
        probabilities: names of the outputs that an operator of ``PROBABILITIES`` computes.
        selected: names of the outputs that are rows in an order of their own, see ``verify.rows``.
    """

    stage: str
    images: int = 0
    probabilities: frozenset[str] = frozenset()
    selected: frozenset[str] = frozenset()
    _rows: dict[str, RowsInCommon] = field(default_factory=dict)
    _errors: dict[str, ErrorSizes] = field(default_factory=dict)
    _products: dict[str, _Products] = field(default_factory=dict)
    _cosines: dict[str, list[float]] = field(default_factory=dict)
    _log_odds: dict[str, TensorAgreement] = field(default_factory=dict)

    def reference(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.reference``."""
        return tensors

    def candidate(self, tensors: Tensors) -> Tensors:
        """See ``Comparison.candidate``."""
        return tensors

    def add(self, expected: Sequence[Tensors], got: Sequence[Tensors]) -> None:
        """See ``Comparison.add``."""
        for reference, candidate in zip(expected, got, strict=True):
            _require_same_shapes(reference, candidate, but_for=self.selected)
            self.images += 1
            for name, array in reference.items():
                self._add(name, array, candidate[name])

    def _add(self, name: str, expected: NDArray[Any], got: NDArray[Any]) -> None:
        if name in self.selected:
            self._rows.setdefault(name, RowsInCommon(LIMITS[self.stage].mean_square)).add(expected, got)
            return
        a, b = (np.asarray(side, np.float32) for side in (expected, got))
        channels_first = (a[0], b[0]) if a.ndim > 1 and a.shape[0] == 1 else (np.atleast_1d(a), np.atleast_1d(b))
        self._errors.setdefault(name, ErrorSizes()).add(*(np.atleast_1d(side) for side in channels_first))
        products = _Products()
        products.add(a.ravel(), b.ravel())
        self._products[name] = self._products.get(name, _Products()).with_other(products)
        self._cosines.setdefault(name, []).append(products.cosine())
        if name in self.probabilities:
            odds = self._log_odds.setdefault(name, TensorAgreement(self.stage))
            odds._add(name, _log_odds(a), _log_odds(b))

    def figures(self) -> dict[str, float]:
        """See ``Comparison.figures``."""
        found: dict[str, float] = {}
        for name, errors in self._errors.items():
            relative, cosine = errors.relative(LIMITS[self.stage].largest), self._products[name].cosine()
            if odds := self._log_odds.get(name):
                mean_square = odds._errors[name].relative()["root mean square"]
                relative["root mean square"] = min(relative["root mean square"], mean_square)
                cosine = max(cosine, odds._products[name].cosine())
            found |= {f"{size} error of {name}, relative": value for size, value in relative.items()}
            found[f"signal-to-noise ratio of {name}, dB"] = _decibels(relative["root mean square"])
            found[f"cosine of {name}"] = cosine
        return found | {_in_common(name): rows.share() for name, rows in self._rows.items()}

    def distributions(self) -> Mapping[str, NDArray[np.float64]]:
        """See ``Comparison.distributions``: the cosine of each output in each picture."""
        return {f"cosine of {name}, by picture": np.array(values) for name, values in self._cosines.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that were compared."""
        return (*self._errors, *self._rows)

    def explained(self, name: str) -> float:
        """The largest error of an output that rounding explains on these images, in the output's own unit."""
        errors = self._errors[name]
        usual = max(usual for _, usual in errors.alike())
        return max(STANDS_OUT * usual, LIMITS[self.stage].largest * errors.largest_expected)

    def tolerances(self) -> Sequence[Tolerance]:
        """See ``Comparison.tolerances``."""
        limits = LIMITS[self.stage]
        rows = [at_least(_in_common(name), ROWS_IN_COMMON, ROWS_REASON) for name in self._rows]
        return [*(tolerance for name in self._errors for tolerance in _tolerances(name, limits)), *rows]

    def look_for(self) -> Mapping[str, str]:
        """See ``Comparison.look_for``."""
        everywhere = "a wrong scale, mean or order of the channels, altered weights, or outputs in another order"
        local = "a tile, copy or channel that went wrong, or a single altered weight"
        hints: dict[str, str] = {}
        for name in self._errors:
            hints |= {f"root mean square error of {name}, relative": everywhere, f"cosine of {name}": everywhere}
            hints[f"largest error of {name}, relative"] = local
        return hints

    def why_nothing(self) -> str | None:
        """See ``Comparison.why_nothing``."""
        return None if self.outputs else "the network gives no output"

    def success(self, figures: Mapping[str, float]) -> str:
        """See ``Comparison.success``."""
        parts = [
            f"{name}: root mean square error {figures[f'root mean square error of {name}, relative']:.2g}, "
            f"cosine {figures[f'cosine of {name}']:.7f}"
            for name in self._errors
        ]
        parts += [f"{name}: {figures[_in_common(name)]:.1%} of the rows in common" for name in self._rows]
        return f"{self.images} images; " + "; ".join(parts)


def _in_common(name: str) -> str:
    return f"share of the rows of {name} in common"


def _tolerances(name: str, limits: _Limits) -> tuple[Tolerance, ...]:
    return (
        at_most(f"root mean square error of {name}, relative", limits.mean_square, limits.reason),
        at_most(
            f"largest error of {name}, relative",
            limits.largest,
            "a fault is of order 1",
            usual=f"usual error of {name}, relative",
        ),
        at_least(f"cosine of {name}", limits.cosine, limits.reason),
    )


def _require_same_shapes(expected: Tensors, got: Tensors, *, but_for: frozenset[str]) -> None:
    if set(expected) != set(got):
        raise BackendError(f"expected the outputs {', '.join(expected)}, got {', '.join(got)}")
    for name, array in expected.items():
        if array.shape != got[name].shape and name not in but_for:
            raise BackendError(f"output {name}: expected shape {array.shape}, got {got[name].shape}")


def _log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logarithm of p / (1 − p); what is no number stays none."""
    held = np.clip(probabilities.astype(np.float64), _LEAST, _MOST)
    return np.log(held / (1 - held)).astype(np.float32)


def _decibels(relative: float) -> float:
    """Of a root mean square error; infinite without any."""
    return float("inf") if relative == 0 else -20 * math.log10(relative)
