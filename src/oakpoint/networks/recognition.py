"""Known weights recognised by their values: whatever they are called, stored as, or built into.

Of every weight tensor of known weights a *sketch* is kept, 16 numbers: each value is added, with a sign, to one of 16
sums, both drawn from its place in the tensor, and the sums are scaled to unit norm. The distance of two sketches
estimates that of the tensors at unit norm, ‖a/‖a‖ − b/‖b‖‖. It is below 0.01 for one tensor stored in another way
(float64 to bfloat16; a factor such as 1/255 folded in), below 0.1 for 8 bits, and about √2 for two trainings. Sixteen
numbers of hundreds or thousands give no weight away.

Source: Charikar, Chen, Farach-Colton 2002, «Finding frequent items in data streams»: the count sketch, an unbiased
estimate of inner products.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SKETCH_VALUES = 16
MIN_VALUES = 256
"""Smaller tensors say too little of where they come from, and 16 numbers would say much of them."""

STORED_DISTANCE = 0.01
"""Largest distance of a tensor from itself in another format: bfloat16 is at 0.001 to 0.002 for SuperPoint v1's."""

KIN_DISTANCE = 0.2
"""Largest distance of a tensor from one that was made of it. SuperPoint v1's tensors at 8 bits, one scale for each, are
at 0.01 to 0.08. Between tensors of one size of any two of the known weights it is 0.66 and more."""

BINDING_SHARE = 0.25
"""Of the known weights' values, for a network to be called made of them. SuperPoint v1's encoder alone is 0.48."""

SKETCHES_FILE = Path(__file__).parent / "known_weights.json"
"""Name of known weights → (number of values, sketch) of each tensor, by ``scripts/sketch_weights.py``."""

SCALE = 10_000
"""Of the whole numbers in ``SKETCHES_FILE``."""

Array = NDArray[Any]
Sketch = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """Weights that are recognised.

    Attributes:
        name: what they are known as; their key in ``SKETCHES_FILE``.
        licence: theirs.
        origin: where they were published.
        restriction: why what learns from them must not ship freely; empty where nothing stands against it.
        sha256: of the file as published; None where only copies of it were seen.
    """

    name: str
    licence: str
    origin: str
    restriction: str = ""
    sha256: str | None = None


KNOWN_WEIGHTS = (
    KnownWeights(
        name="SuperPoint v1 (official)",
        licence="Magic Leap, non-commercial research only",
        origin="github.com/magicleap/SuperPointPretrainedNetwork",
        restriction="SuperPoint v1's licence allows non-commercial research only and extends to derivatives, such as "
        "weights that learn from it",
        sha256="52b6708629640ca883673b5d5c097c4ddad37d8048b33f09c8ca0d69db12c40e",
    ),
    *(
        KnownWeights(f"EdgePoint2 {variant} (official)", "MIT", "github.com/HITCSC/EdgePoint2")
        for variant in ("T32", "S48", "M64", "E64")
    ),
    *(
        KnownWeights(f"ALIKE-{variant} (official)", "BSD-3-Clause", "github.com/Shiaoming/ALIKE")
        for variant in ("n", "l")
    ),
    KnownWeights("acorn", "Apache-2.0", "oakpoint, networks/shipped/acorn.md"),
)


@dataclass(frozen=True, slots=True)
class Recognised:
    """Known weights that were found in a network.

    Attributes:
        known: which.
        found: how many of their tensors are there.
        total: how many they have.
        altered: some of them are there, but changed by more than another format changes them.
        alone: the network has no other weights.
    """

    known: KnownWeights
    found: int
    total: int
    altered: bool
    alone: bool

    @property
    def name(self) -> str:
        """What the network's weights are called: the known name, or what they hold of it."""
        if self.found == self.total and not self.altered:
            return self.known.name if self.alone else f"contains {self.known.name}"
        altered = ", altered" if self.altered else ""
        return f"contains {self.known.name}: {self.found} of {self.total} weight tensors{altered}"


def recognise(arrays: Iterable[Array]) -> tuple[Recognised, ...]:
    """The known weights of which at least ``BINDING_SHARE`` is among these tensors, in any order.

    Args:
        arrays: all tensors of a network: of any shape and number type; integers are taken for quantised values.
    """
    registered = _sketches()
    sizes = {size for tensors in registered.values() for size, _ in tensors}
    arrays = [array for array in arrays if array.dtype.kind in "fiu"]
    candidates = [
        _Candidate(array.size, is_weight(array), list(_sketches_of_layouts(array)))
        for array in arrays
        if array.size in sizes
    ]
    others = any(is_weight(array) and array.size not in sizes for array in arrays)
    matches = (_match(known, registered[known.name], candidates, others=others) for known in KNOWN_WEIGHTS)
    return tuple(match for match in matches if match is not None)


def is_weight(array: Array) -> bool:
    """Whether a tensor is large enough to tell where it comes from: a kernel or a matrix, not biases or factors."""
    return array.ndim > 1 and array.size >= MIN_VALUES


def sketch_of(array: Array) -> Sketch | None:
    """The sketch of a tensor's values in the order in which they stand; None where they are all 0, or not finite."""
    values = np.asarray(array, np.float64).ravel()
    largest = np.abs(values).max(initial=0.0)
    if not (0 < largest < np.inf):
        return None
    # A stream that is the same everywhere and for ever, and for a shorter tensor the beginning of a longer one's.
    places = np.frombuffer(hashlib.shake_256(b"oakpoint sketch 1").digest(values.size), np.uint8)
    signed = np.where(places & 0x80, values, -values) / largest
    sums = np.bincount(places % SKETCH_VALUES, weights=signed, minlength=SKETCH_VALUES)
    norm = np.sqrt(np.square(values / largest).sum())
    return np.asarray(sums / norm, np.float64)


def sketches_of(arrays: Iterable[Array]) -> tuple[tuple[int, Sketch], ...]:
    """Number of values and sketch of each weight tensor, the largest first: what is kept of known weights."""
    weights = sorted((array for array in arrays if is_weight(array)), key=lambda array: -array.size)
    return tuple((array.size, sketch) for array in weights if (sketch := sketch_of(array)) is not None)


def _sketches_of_layouts(array: Array) -> Iterator[Sketch]:
    """Sketches of a tensor as it stands, and as it would stand in PyTorch if it were in another framework's order."""
    layouts: dict[int, tuple[tuple[int, ...], ...]] = {
        2: ((1, 0),),  # a matrix of x @ w
        4: ((3, 2, 0, 1), (0, 3, 1, 2), (1, 0, 2, 3)),  # TensorFlow's HWIO, TensorFlow Lite's OHWI, IOHW
    }
    for order in (tuple(range(array.ndim)), *layouts.get(array.ndim, ())):
        sketch = sketch_of(array.transpose(order))
        if sketch is not None:
            yield sketch


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A tensor of a size that known weights have.

    Attributes:
        size: number of its values.
        weight: whether it looks like one, see ``is_weight``; a flat one does not, and may still be one.
        sketches: in every order in which its values may stand.
    """

    size: int
    weight: bool
    sketches: list[Sketch]

    def distance(self, size: int, sketch: Sketch) -> float:
        """From a tensor of known weights; infinite for another size."""
        distances = (float(np.linalg.norm(sketch - own)) for own in self.sketches if self.size == size)
        return min(distances, default=np.inf)


def _match(
    known: KnownWeights, tensors: tuple[tuple[int, Sketch], ...], candidates: list[_Candidate], *, others: bool
) -> Recognised | None:
    """Each tensor of the known weights with the candidate nearest to it; None where too few have one near enough."""
    left = list(candidates)
    distances, values = [], 0
    for size, sketch in tensors:
        distance, index = min(
            ((candidate.distance(size, sketch), index) for index, candidate in enumerate(left)), default=(np.inf, -1)
        )
        if distance <= KIN_DISTANCE:
            del left[index]
            distances.append(distance)
            values += size
    if values < BINDING_SHARE * sum(size for size, _ in tensors):
        return None
    return Recognised(
        known=known,
        found=len(distances),
        total=len(tensors),
        altered=max(distances) > STORED_DISTANCE,
        alone=not (others or any(candidate.weight for candidate in left)),
    )


@lru_cache(maxsize=1)
def _sketches() -> dict[str, tuple[tuple[int, Sketch], ...]]:
    content: dict[str, list[tuple[int, list[int]]]] = json.loads(SKETCHES_FILE.read_text())
    return {
        name: tuple((size, np.array(sketch) / SCALE) for size, sketch in tensors) for name, tensors in content.items()
    }
