"""How large the errors between two models are on the images at hand, and how large the largest may be for it.

Rounding is everywhere: an error that comes of it has a size that most values share, and the largest of a million is
some times that size. A fault is somewhere: it stands out. So the largest error is held against the *usual* one, which
the images themselves tell, as well as against a limit of its own; and the usual one against a limit, since a fault that
is everywhere stands out nowhere.

How large rounding's errors are hangs on the value, too: behind a sigmoid or a softmax they vanish where it says 0 or 1,
and in a map of text, say, that is nearly everywhere. So an error is held against what is usual for values like the one
that was expected there.

A fault of a part of the image, a border or a tile, is somewhere as well, and yet more than one value in a hundred. So
where an output is a map, what is usual is what is so in most of it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

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

CELLS = 8
"""A map is cut into so many cells along each side; what is usual in half of them is usual."""

PLACES_OF_A_CELL = 16
"""A map with fewer is not cut: its border is as good as all of it."""

ALIKE_IN_A_CELL = 32
"""So many places of a cell have to be alike for their errors to tell what is usual there."""

FEWEST_CELLS = 4
"""Fewer cells say nothing of the rest of the map."""


@dataclass(slots=True)
class ErrorSizes:
    """Sizes of the errors of one tensor, gathered over images.

    An error is that of one place of the tensor: the largest of its channels, so that a fault in one of them counts.
    """

    _errors: list[NDArray[np.float32]] = field(default_factory=list)
    _values: list[NDArray[np.float32]] = field(default_factory=list)
    _cells: list[NDArray[np.int32]] = field(default_factory=list)
    _squares: float = 0.0
    _expected_squares: float = 0.0
    _largest_expected: float = 0.0

    def add(self, expected: NDArray[np.float32], got: NDArray[np.float32]) -> None:
        """Take one image's tensors, channels first, of any rank.

        What is not finite where a number was expected is infinitely wrong; where none was, nothing can be said.
        """
        known, shape = np.isfinite(expected), expected.shape[1:]
        with np.errstate(invalid="ignore"):
            error = np.where(known, np.nan_to_num(np.abs(expected - got), nan=np.inf, posinf=np.inf), 0.0)
        expected = np.where(known, expected, np.float32(0))
        error, by_place = error.reshape(len(error), -1).astype(np.float32), expected.reshape(len(expected), -1)
        worst = error.argmax(axis=0)[np.newaxis]
        self._errors.append(np.take_along_axis(error, worst, axis=0)[0])
        self._values.append(np.take_along_axis(by_place, worst, axis=0)[0])
        self._cells.append(_cells_of(shape))
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
        return usual_of(np.concatenate(self._errors))

    def alike(self) -> tuple[tuple[float, float], ...]:
        """The largest and the usual error among places of which like values were expected, all places in such groups.

        What is usual for all is so for each.
        """
        if not self._errors:
            return ()
        errors, values = np.concatenate(self._errors), np.concatenate(self._values)
        cells = np.concatenate([_of_image(cells, number) for number, cells in enumerate(self._cells)])
        low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        share = (values.astype(np.float64) - low) / ((high - low) or 1.0)
        bins = np.minimum((share * BINS).astype(np.int64), BINS - 1)
        order = np.argsort(bins, kind="stable")
        errors, cells, counts = errors[order], cells[order], np.bincount(bins, minlength=BINS)
        usual = _usual_in_most_cells(errors, cells, 1)
        usual = self.usual if usual is None else usual
        found = []
        for start, end in _spans(counts):
            group = errors[start:end]
            of_group = _usual_in_most_cells(group, cells[start:end], ALIKE_IN_A_CELL)
            of_group = _usual_of_group(group) if of_group is None else of_group
            found.append((float(group.max(initial=0.0)), max(usual, of_group)))
        return tuple(found)

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


def usual_of(errors: NDArray[np.floating[Any]]) -> float:
    """What one of the errors (N,) in a hundred exceeds, see ``USUAL_QUANTILE``; 0 without any."""
    if not len(errors):
        return 0.0
    place = int(USUAL_QUANTILE * (len(errors) - 1))
    return float(np.partition(errors, place)[place])


def _cells_of(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """The cell of each place of a map, rows first; −1 for all where a tensor is none, or too small to be cut."""
    if len(shape) != 2 or min(shape) < CELLS or math.prod(shape) < PLACES_OF_A_CELL * CELLS**2:
        return np.full(math.prod(shape), -1, np.int32)
    rows, columns = (np.arange(side, dtype=np.int32) * CELLS // side for side in shape)
    return np.asarray((rows[:, np.newaxis] * CELLS + columns).ravel(), np.int32)


def _of_image(cells: NDArray[np.int32], number: int) -> NDArray[np.int32]:
    """Cells of one image, told from those of others."""
    return np.where(cells < 0, -1, cells + np.int32(number * CELLS**2))


def _usual_in_most_cells(errors: NDArray[np.float32], cells: NDArray[np.int32], fewest: int) -> float | None:
    """What is usual in half of an image's cells, in the image where that is most.

    Not over all images: rounding is larger behind the norm of a flat one, and everywhere in it. A place without an
    error tells nothing: the value may be one that rounding leaves alone, such as zero.

    Args:
        errors: of places.
        cells: of the same places.
        fewest: places that a cell has to have.

    Returns:
        None where no image has enough cells.
    """
    telling = (errors > 0) & (cells >= 0)
    order = np.argsort(cells[telling], kind="stable")
    errors, cells = errors[telling][order], cells[telling][order]
    usual: dict[int, list[float]] = {}
    starts = np.flatnonzero(np.diff(cells, prepend=-1))
    for start, end in itertools.pairwise([*starts.tolist(), len(cells)]):
        if end - start >= fewest:
            usual.setdefault(int(cells[start]) // CELLS**2, []).append(usual_of(errors[start:end]))
    return max((float(np.median(found)) for found in usual.values() if len(found) >= FEWEST_CELLS), default=None)


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
