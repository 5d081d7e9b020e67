"""What a part of a network costs on the host: measured by running it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from oakpoint.backends.base import Backend
from oakpoint.backends.chained import open_first_tail
from oakpoint.errors import BackendError

RUNS: Final = 5
"""Of which the median is taken; the one before them is not timed."""

LONGEST_S: Final = 1.0
"""After so long no further run begins."""

_SEED = 20180712

Clock = Callable[[], float]


def host_ms(
    tail: Backend,
    given: Mapping[str, NDArray[Any]] | None = None,
    *,
    runs: int = RUNS,
    longest_s: float = LONGEST_S,
    clock: Clock = time.perf_counter,
) -> float:
    """The time of a tail on this machine, in milliseconds: the median of a few runs.

    Args:
        tail: opened.
        given: its inputs; None for noise, which takes as long but where the values decide how much there is to do.
        runs: how many are timed, at most.
        longest_s: seconds after which no further run begins; one is always timed.
        clock: seconds, monotonic.

    Raises:
        BackendError: it fails.
    """
    fed = noise_for(tail) if given is None else given
    start = clock()
    tail.run(fed)  # the first run prepares more than it computes
    times: list[float] = []
    while not times or (len(times) < runs and clock() - start < longest_s):
        before = clock()
        tail.run(fed)
        times.append(clock() - before)
    return 1e3 * float(np.median(times))


def noise_for(backend: Backend) -> dict[str, NDArray[Any]]:
    """Inputs for a backend: noise between 0 and 1, the same every time; of whole numbers zeros."""
    rng = np.random.default_rng(_SEED)

    def values(shape: tuple[int | str, ...], kind: np.dtype[Any]) -> NDArray[Any]:
        sides = tuple(side if isinstance(side, int) else 1 for side in shape)
        return rng.random(sides).astype(kind) if kind.kind == "f" else np.zeros(sides, kind)

    return {spec.name: values(spec.shape, np.dtype(spec.dtype)) for spec in backend.inputs}


def host_ms_of_model(model: onnx.ModelProto, *, longest_s: float = LONGEST_S) -> float | None:
    """The same of a model that lies in no file; None where no runtime of the host runs it."""
    with tempfile.TemporaryDirectory(prefix="oakpoint-price-") as scratch:
        path = Path(scratch) / "tail.onnx"
        onnx.save(model, path)
        try:
            _, opened = open_first_tail(path)
            with opened as tail:
                return host_ms(tail, longest_s=longest_s)
        except BackendError:
            return None
