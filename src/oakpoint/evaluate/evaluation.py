"""Every extractor on every pair by every protocol; each image is prepared and extracted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from oakpoint.errors import ImageError, UsageError
from oakpoint.evaluate import pairs
from oakpoint.evaluate.candidates import Candidate
from oakpoint.evaluate.pairs import Dataset, Image, SequenceImage, Skipped
from oakpoint.evaluate.protocol import TIME, Measured, Prepared, Protocol
from oakpoint.geometry import second_from_first_prepared


@dataclass(frozen=True, slots=True, eq=False)
class PairResult:
    """What one protocol measured on one pair with one extractor.

    Attributes:
        sequence: name of the sequence.
        first: name of the first image.
        second: name of the second image.
        measured: values, ``time_ms`` among them, and matches.
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
    """

    label: str
    protocol: Protocol
    pairs: tuple[PairResult, ...]
    runtimes: tuple[str, ...]

    def values(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """One value of each pair: float64 (n,), NaN where it has none."""
        return np.array([pair.measured.values.get(name, np.nan) for pair in self.pairs], np.float64)


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


@dataclass(slots=True)
class _Gathered:
    pairs: list[PairResult] = field(default_factory=list)
    runtimes: dict[str, None] = field(default_factory=dict)


Progress = Callable[[str], None]
"""Told the name of each sequence that is done."""


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
        progress: told the name of each sequence when it is done.

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
        outcome = _sequence_or_reason(sequence, candidates, protocols)
        if isinstance(outcome, Skipped):
            skipped.append(outcome)
        else:
            for key, results in outcome.items():
                gathered[key].pairs += results.pairs
                gathered[key].runtimes |= results.runtimes
        progress(sequence.name)
    if len(skipped) == len(dataset.sequences) + len(dataset.skipped):
        raise ImageError(f"{dataset.name}: not one sequence could be used: {skipped[0].sequence}: {skipped[0].reason}")
    rows = tuple(
        Row(c.label, p, tuple(found.pairs), tuple(found.runtimes))
        for p in protocols
        for c in candidates
        for found in (gathered[c.label, p.key],)
    )
    return Evaluation(dataset.name, rows, tuple(skipped))


def _sequence_or_reason(
    sequence: pairs.Sequence, candidates: Sequence[Candidate], protocols: Sequence[Protocol]
) -> dict[tuple[str, str], _Gathered] | Skipped:
    try:
        images = [image.read() for image in (sequence.first, *sequence.others)]
        return {
            (candidate.label, protocol.key): results
            for protocol in protocols
            for prepared in (_prepared(sequence, images, protocol),)
            for candidate in candidates
            for results in (_measured(sequence, prepared, candidate, protocol),)
        }
    except ImageError as error:
        return Skipped(sequence.name, str(error))


def _prepared(sequence: pairs.Sequence, images: Sequence[Image], protocol: Protocol) -> list[Prepared]:
    return [] if sequence.name in protocol.left_out else [protocol.prepare(image) for image in images]


def _measured(
    sequence: pairs.Sequence, prepared: Sequence[Prepared], candidate: Candidate, protocol: Protocol
) -> _Gathered:
    """The pairs of one sequence; none where the protocol leaves it out."""
    gathered = _Gathered()
    if not prepared:
        return gathered
    names: list[SequenceImage] = [sequence.first, *sequence.others]
    timed = [candidate.features(image.name, how) for image, how in zip(names, prepared, strict=True)]
    gathered.runtimes |= dict.fromkeys(one.runtime for one in timed)
    for index, other_from_first in enumerate(sequence.other_from_first, start=1):
        truth = second_from_first_prepared(
            other_from_first, prepared[0].prepared_from_original, prepared[index].prepared_from_original
        )
        measured = protocol.measure(timed[0].features, timed[index].features, truth)
        mean_ms = (timed[0].milliseconds + timed[index].milliseconds) / 2
        values = {**measured.values, TIME.value: mean_ms}
        gathered.pairs.append(
            PairResult(sequence.name, names[0].name, names[index].name, Measured(values, measured.matches))
        )
    return gathered
