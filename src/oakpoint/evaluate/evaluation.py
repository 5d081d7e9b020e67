"""Every extractor on every pair by every protocol; each image is prepared and extracted once.

Pairs are made when their turn comes and given back: at any time there are the pixels of one sequence's first image and
of ``PAIRS_AT_ONCE`` others, and the features of first images that later pairs of the sequence still need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate import pairs
from oakpoint.evaluate.candidates import Candidate
from oakpoint.evaluate.pairs import Dataset, Image, SequenceView, Skipped, View
from oakpoint.evaluate.protocol import TIME, Measured, Prepared, Protocol
from oakpoint.evaluate.results import Evaluation, PairResult, Row, worst_pairs
from oakpoint.evaluate.timing import Timed, times_by_size
from oakpoint.geometry import second_from_first_prepared

PAIRS_AT_ONCE = 5
"""Views that are read together, so that an extractor takes several images of one size in turn. HPatches' sequences have
as many."""

MATCHES_KEPT = 5
"""Of how many pairs, the worst, matches are kept for drawing: those of all pairs of a large data set take gigabytes."""

Progress = Callable[[str, int], None]
"""Called with a sequence's name and how many more of ``measurements`` are done."""

Key = tuple[str, str]
"""An extractor's label and a protocol's key."""


def measurements(dataset: Dataset, candidates: Sequence[Candidate], protocols: Sequence[Protocol]) -> int:
    """How many pairs there are, times extractors, times protocols; those that are left out or skipped among them."""
    return dataset.pairs * len(candidates) * len(protocols)


def evaluate(
    dataset: Dataset, candidates: Sequence[Candidate], protocols: Sequence[Protocol], progress: Progress
) -> Evaluation:
    """Measure.

    A sequence with an image that cannot be read or used is left out for every extractor and protocol, so that all
    figures rest on the same pairs.

    Args:
        dataset: the pairs.
        candidates: what is compared.
        protocols: by what.
        progress: told of every measurement.

    Raises:
        UsageError: two extractors of one label.
        ImageError: not one sequence could be used.
        OakpointError: from an extractor.
    """
    if len({candidate.label for candidate in candidates}) < len(candidates):
        raise UsageError("evaluate: expected a label of its own for each extractor")
    gathered = {(c.label, p.key): _Gathered() for p in protocols for c in candidates}
    skipped = list(dataset.skipped)
    for sequence in dataset.sequences:
        turn = _Turn(sequence, candidates, protocols, progress)
        try:
            turn.run()
        except ImageError as error:
            skipped.append(Skipped(sequence.name, str(error)))
        else:
            for key, results in turn.gathered.items():
                gathered[key].add(results)
        turn.end()
    if len(skipped) == len(dataset.sequences) + len(dataset.skipped):
        raise ImageError(f"{dataset.name}: not one sequence could be used: {skipped[0].sequence}: {skipped[0].reason}")
    rows = tuple(
        Row(c.label, p, tuple(found.pairs), tuple(found.runtimes), times_by_size(found.times))
        for p in protocols
        for c in candidates
        for found in (gathered[c.label, p.key],)
    )
    return Evaluation(dataset.name, rows, tuple(skipped))


@dataclass(slots=True)
class _Gathered:
    """What one extractor gave by one protocol so far."""

    pairs: list[PairResult] = field(default_factory=list)
    runtimes: dict[str, None] = field(default_factory=dict)
    times: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    with_matches: list[int] = field(default_factory=list)

    def add(self, more: _Gathered) -> None:
        """Take in what another sequence gave."""
        for pair in more.pairs:
            self.measured(pair)
        self.runtimes |= more.runtimes
        for size, times in more.times.items():
            self.times.setdefault(size, []).extend(times)

    def measured(self, pair: PairResult) -> None:
        """Take in a pair; of all pairs with matches only the worst keep them."""
        self.pairs.append(pair)
        if pair.measured.matches is None:
            return
        self.with_matches.append(len(self.pairs) - 1)
        if len(self.with_matches) > MATCHES_KEPT:
            kept = worst_pairs([self.pairs[index] for index in self.with_matches], MATCHES_KEPT)
            (gone,) = (index for index in self.with_matches if self.pairs[index] not in kept)
            self.with_matches.remove(gone)
            self.pairs[gone] = replace(self.pairs[gone], measured=Measured(self.pairs[gone].measured.values))

    def timed(self, timed: Timed, size: tuple[int, int]) -> None:
        """Note what extracted an image of (W, H) pixels, and how long it took."""
        self.runtimes[timed.runtime] = None
        if not np.isnan(timed.milliseconds):
            self.times.setdefault(size, []).append(timed.milliseconds)


@final
class _Turn:
    """One sequence, by all protocols with all extractors."""

    def __init__(
        self,
        sequence: pairs.Sequence,
        candidates: Sequence[Candidate],
        protocols: Sequence[Protocol],
        progress: Progress,
    ) -> None:
        self.gathered = {(c.label, p.key): _Gathered() for p in protocols for c in candidates}
        self._sequence = sequence
        self._candidates = candidates
        self._protocols = [protocol for protocol in protocols if sequence.name not in protocol.left_out]
        self._progress = progress
        self._to_do = len(sequence.others) * len(candidates) * len(protocols)
        self._first_features: dict[Key, Timed] = {}

    def run(self) -> None:
        """Measure all pairs.

        Raises:
            ImageError: an image that cannot be read or used.
        """
        first, others = self._sequence.first.read(), self._sequence.others
        for start in range(0, len(others), PAIRS_AT_ONCE):
            group = others[start : start + PAIRS_AT_ONCE]
            self._measure(first, group, last=start + len(group) == len(others))

    def end(self) -> None:
        """Report what is left out or skipped as done."""
        self._done(self._to_do)

    def _measure(self, first: Image, group: Sequence[SequenceView], *, last: bool) -> None:
        views = [other.read() for other in group]
        for protocol in self._protocols:
            prepared_first = protocol.prepare(first)
            prepared = [(view, protocol.prepare(view.image)) for view in views]
            for candidate in self._candidates:
                key = candidate.label, protocol.key
                mine = self._first(candidate, protocol, prepared_first)
                for other, (view, prepared_other) in zip(group, prepared, strict=True):
                    theirs = candidate.features(other.name, prepared_other)
                    self.gathered[key].timed(theirs, prepared_other.size)
                    measured = _measured(protocol, (mine, prepared_first), (theirs, prepared_other), view)
                    self.gathered[key].measured(
                        PairResult(self._sequence.name, self._sequence.first.name, other.name, measured)
                    )
                    self._done(1)
                if last:
                    del self._first_features[key]

    def _first(self, candidate: Candidate, protocol: Protocol, prepared: Prepared) -> Timed:
        """The first image's features, which all pairs share."""
        key = candidate.label, protocol.key
        if key not in self._first_features:
            self._first_features[key] = timed = candidate.features(self._sequence.first.name, prepared)
            self.gathered[key].timed(timed, prepared.size)
        return self._first_features[key]

    def _done(self, count: int) -> None:
        self._to_do -= count
        self._progress(self._sequence.name, count)


def _measured(protocol: Protocol, mine: tuple[Timed, Prepared], theirs: tuple[Timed, Prepared], view: View) -> Measured:
    """What a protocol measures on a pair, with the time for one image."""
    (first, prepared_first), (second, prepared_second) = mine, theirs
    truth = second_from_first_prepared(
        view.other_from_first, prepared_first.prepared_from_original, prepared_second.prepared_from_original
    )
    measured = protocol.measure(first.features, second.features, truth)
    mean_ms = (first.milliseconds + second.milliseconds) / 2
    return Measured({**measured.values, TIME.value: mean_ms}, measured.matches)
