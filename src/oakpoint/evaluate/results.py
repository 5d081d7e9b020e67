"""What an evaluation measured: values of pairs, and the times of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oakpoint.evaluate.pairs import Skipped
from oakpoint.evaluate.protocol import Measured, Protocol
from oakpoint.evaluate.timing import SizeTime


@dataclass(frozen=True, slots=True, eq=False)
class PairResult:
    """What one protocol measured on one pair with one extractor.

    Attributes:
        sequence: name of the sequence.
        first: name of the first image.
        second: name of the second image.
        measured: values, ``time_ms`` among them, and matches, which only the worst pairs keep.
    """

    sequence: str
    first: str
    second: str
    measured: Measured


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """All pairs of one extractor by one protocol.

    Attributes:
        label: of the extractor.
        protocol: by which.
        pairs: in the order of the dataset, the same for every extractor.
        runtimes: what extracted, as the runtimes name themselves.
        times: of one image, by the size of the prepared image; empty where nothing was timed.
    """

    label: str
    protocol: Protocol
    pairs: tuple[PairResult, ...]
    runtimes: tuple[str, ...]
    times: tuple[SizeTime, ...] = ()

    def values(self, name: str) -> NDArray[np.float64]:
        """One value of each pair: float64 (n,), NaN where it has none."""
        return np.array([pair.measured.values.get(name, np.nan) for pair in self.pairs], np.float64)

    @property
    def sequences(self) -> tuple[str, ...]:
        """The sequence of each pair, by name."""
        return tuple(pair.sequence for pair in self.pairs)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The outcome.

    Attributes:
        dataset: its name.
        rows: for each protocol all extractors, in the order in which they were given.
        skipped: sequences that no figure rests on, and why.
    """

    dataset: str
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]

    def rows_of(self, protocol: str) -> tuple[Row, ...]:
        """The extractors by one protocol, given by its key."""
        return tuple(row for row in self.rows if row.protocol.key == protocol)


def worst_pairs(pairs: Sequence[PairResult], count: int) -> list[PairResult]:
    """The pairs that went worst, worst first; of equal ones the earlier. None that has no matches to draw.

    By P2: the largest corner error, and of equal ones (no homography at all) the smallest matching score; by P3: the
    smallest MMA at 3 px.
    """

    def badness(pair: PairResult) -> tuple[float, float]:
        values = pair.measured.values
        score = values.get("matching_score", 0.0)
        return values.get("corner_error_px", -values.get("mma_3px", 0.0)), -(0.0 if math.isnan(score) else score)

    drawable = [pair for pair in pairs if pair.measured.matches is not None]
    return sorted(drawable, key=badness, reverse=True)[:count]
