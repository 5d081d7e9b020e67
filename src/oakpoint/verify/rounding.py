"""How large the errors between two models are on the images at hand, and how large the largest may be for it.

Rounding is everywhere: an error that comes of it has a size that most values share, and the largest of a million is
some times that size. A fault is somewhere: it stands out. So the largest error is held against the *usual* one, which
the images themselves tell, as well as against a limit of its own; and the usual one against a limit, since a fault that
is everywhere stands out nowhere.

How large rounding's errors are hangs on the value, too: behind a sigmoid or a softmax they vanish where it says 0 or 1,
and in a map of text, say, that is nearly everywhere. So an error is held against what is usual for values like the one
that was expected there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

USUAL_QUANTILE = 0.99
"""The usual error is that which one value in a hundred exceeds.

Not the median: in dark or empty images most errors are small because the values are, and those where something is to be
seen are not a fault for being larger.
"""

STANDS_OUT = 8.0
"""An error this many times the usual one is not of rounding."""

BINS = 32
"""Values that lie within as many equal parts of a tensor's range are alike."""

ENOUGH = 256
"""Parts of the range with fewer places are taken together with neighbours that have few as well."""

SINGLE = 3
"""As many places may be wrong by a single fault: what they show does not make an error usual, however few there are."""


@dataclass(slots=True)
class ErrorSizes:
    """Sizes of the errors of one tensor, gathered over images.

    An error is that of one place of the tensor: the largest of its channels, so that a fault in one of them counts.
    """

    _errors: list[NDArray[np.float32]] = field(default_factory=list)
    _values: list[NDArray[np.float32]] = field(default_factory=list)
    _squares: float = 0.0
    _expected_squares: float = 0.0
    _largest_expected: float = 0.0

    def add(self, expected: NDArray[np.float32], got: NDArray[np.float32]) -> None:
        """Take one image's tensors, channels first, of any rank.

        What is not finite where a number was expected is infinitely wrong; where none was, nothing can be said.
        """
        known = np.isfinite(expected)
        with np.errstate(invalid="ignore"):
            error = np.where(known, np.nan_to_num(np.abs(expected - got), nan=np.inf, posinf=np.inf), 0.0)
        expected = np.where(known, expected, np.float32(0))
        error, by_place = error.reshape(len(error), -1).astype(np.float32), expected.reshape(len(expected), -1)
        worst = error.argmax(axis=0)[np.newaxis]
        self._errors.append(np.take_along_axis(error, worst, axis=0)[0])
        self._values.append(np.take_along_axis(by_place, worst, axis=0)[0])
        self._squares += float(np.square(error, dtype=np.float64).sum())
        self._expected_squares += float(np.square(expected, dtype=np.float64).sum())
        self._largest_expected = max(self._largest_expected, float(np.abs(expected).max(initial=0.0)))

    @property
    def largest(self) -> float:
        """The largest error, in the tensor's own unit; NaN without any image."""
        return max((float(errors.max(initial=0.0)) for errors in self._errors), default=float("nan"))

    @property
    def usual(self) -> float:
        """The usual error, in the tensor's own unit; NaN without any image."""
        if not self._errors:
            return float("nan")
        return _usual(np.concatenate(self._errors))

    def alike(self) -> tuple[tuple[float, float], ...]:
        """The largest and the usual error among places of which like values were expected, all places in such groups.

        What is usual for all is so for each.
        """
        if not self._errors:
            return ()
        errors, values = np.concatenate(self._errors), np.concatenate(self._values)
        low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        share = (values.astype(np.float64) - low) / ((high - low) or 1.0)
        bins = np.minimum((share * BINS).astype(np.int64), BINS - 1)
        order = np.argsort(bins, kind="stable")
        groups = [errors[order[start:end]] for start, end in _spans(np.bincount(bins, minlength=BINS))]
        usual = self.usual
        return tuple((float(group.max(initial=0.0)), max(usual, _usual_of_group(group))) for group in groups)

    def standing_out(self, limit: float) -> tuple[float, float]:
        """The largest error and the usual one of those places where the largest goes farthest beyond what may be.

        Args:
            limit: what it may be, however small the usual error.

        Returns:
            Both in the tensor's own unit; NaN without any image.
        """
        unknown = float("nan"), float("nan")
        return max(self.alike(), key=lambda pair: pair[0] - max(limit, STANDS_OUT * pair[1]), default=unknown)

    @property
    def largest_expected(self) -> float:
        """The largest value expected, without its sign; 0 without any image."""
        return self._largest_expected

    def relative(self, limit: float | None = None) -> dict[str, float]:
        """The largest and the usual error as shares of the largest value expected, and the root mean square of all.

        Args:
            limit: what the largest error may be, as such a share, however small the usual one. With it, both are those
                of ``standing_out``.

        0 where nothing differs, infinite where only zeros were expected and something came, NaN without any image.
        """
        if not self._errors:
            return dict.fromkeys(("largest", "usual", "root mean square"), float("nan"))
        largest, usual = (
            (self.largest, self.usual) if limit is None else self.standing_out(limit * self._largest_expected)
        )
        return {
            "largest": _share(largest, self._largest_expected),
            "usual": _share(usual, self._largest_expected),
            "root mean square": _share(self._squares**0.5, self._expected_squares**0.5),
        }


def _usual(errors: NDArray[np.float32]) -> float:
    return float(np.quantile(errors, USUAL_QUANTILE, method="lower")) if len(errors) else 0.0


def _usual_of_group(errors: NDArray[np.float32]) -> float:
    beyond = max(int(len(errors) * (1 - USUAL_QUANTILE)), SINGLE)
    return float(np.partition(errors, -beyond - 1)[-beyond - 1]) if len(errors) > beyond else 0.0


def _spans(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Begin and end of groups of consecutive bins: large ones by themselves, small ones until they hold enough."""
    spans, start, end = [], 0, 0
    for count in counts.tolist():
        if end > start and (end - start >= ENOUGH or count >= ENOUGH):
            spans.append((start, end))
            start = end
        end += count
    return [*spans, (start, end)]


def _share(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole > 0 else float("inf")
