"""Whether raw outputs are numbers, before anything is decoded: decoding makes «no keypoint» of what is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from oakpoint.backends.base import Tensors


@dataclass(slots=True)
class Finiteness:
    """Counts of values that are not finite, by output, gathered over images.

    Attributes:
        wrong: values of the candidate that are not finite where the reference is.
        unknown: values of the reference that are not finite, of which nothing can be said.
        whole: values that were looked at, of the candidate and of the reference.
    """

    wrong: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    whole: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, reference: Tensors, candidate: Tensors) -> None:
        """Look at one image's outputs.

        A candidate's output of another name or shape than the reference's (other heads) is compared as a whole: where
        the reference's outputs are all finite, all of it has to be.
        """
        finite = {name: np.isfinite(array) for name, array in reference.items()}
        all_finite = all(mask.all() for mask in finite.values())
        for name, mask in finite.items():
            self._count(self.unknown, "reference", name, ~mask)
        for name, array in candidate.items():
            bad = ~np.isfinite(array)
            if name in finite and finite[name].shape == bad.shape:
                bad &= finite[name]
            elif not all_finite:
                bad &= False
            self._count(self.wrong, "candidate", name, bad)

    def share(self) -> float:
        """Share of the candidate's values that are wrongly not finite, in its worst output."""
        return max((self._share("candidate", name, count) for name, count in self.wrong.items()), default=0.0)

    def worst(self) -> str:
        """The outputs with such values, each with its share."""
        shares = {name: self._share("candidate", name, count) for name, count in self.wrong.items() if count}
        return ", ".join(f"{share:.2%} of the output {name}" for name, share in shares.items())

    def unknown_outputs(self) -> tuple[str, ...]:
        """Outputs of which the reference gives no finite value at all."""
        return tuple(n for n, count in self.unknown.items() if count and count == self.whole["reference", n])

    def _share(self, side: str, name: str, count: int) -> float:
        return count / self.whole[side, name] if count else 0.0

    def _count(self, counts: dict[str, int], side: str, name: str, bad: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        counts[name] = counts.get(name, 0) + int(bad.sum())
        self.whole[side, name] = self.whole.get((side, name), 0) + bad.size
