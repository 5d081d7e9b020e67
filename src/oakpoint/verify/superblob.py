"""Blobs of one network for different numbers of SHAVEs: cut into other tiles, they have to compute the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.records import StageReport, Verdict
from oakpoint.errors import BlobError, NotModelledError
from oakpoint.myriad.blob import Blob
from oakpoint.myriad.simulator import Simulator
from oakpoint.myriad.superblob import BASE_SHAVES
from oakpoint.verify.stages import not_executed

SUPERBLOB_STAGE = "blob → superblob"


SOFTWARE_TOLERANCE = 5e-3
"""Largest error relative to the largest output, for blobs with convolutions on the SHAVEs.

With little CMX (seen with 1 slice) the compiler takes convolutions off the engine; each of their steps then rounds to
FP16, relative 2^-11, by itself. Measured on SuperPoint v1: 1.2e-3.
"""


def verify_shaves(
    blobs: Mapping[int, bytes], feed: Tensors, values: Callable[[Tensors], Tensors] = lambda tensors: tensors
) -> StageReport:
    """Execute every blob on one image and compare its outputs with those of the blob for 8 SHAVEs.

    Outputs are equal bit for bit, except of blobs that run convolutions on the SHAVEs: see ``SOFTWARE_TOLERANCE``. A
    blob that differs fails, whatever others do; where one is whole and cannot be executed here, nothing is claimed.

    Args:
        blobs: content by number of SHAVEs, 8 among them.
        feed: the blobs' inputs for a real image.
        values: makes numbers of the outputs whose differences mean something, see ``Task.values``.
    """
    try:
        base = _outputs(blobs[BASE_SHAVES], feed, values)
    except NotModelledError as reason:
        return not_executed(SUPERBLOB_STAGE, str(reason))
    except BlobError as reason:
        return _report(Verdict.FAIL, f"{BASE_SHAVES} shaves: {reason}")
    software: dict[int, float] = {}
    not_modelled: dict[int, str] = {}
    for shaves, content in blobs.items():
        try:
            error = _largest_error(base, _outputs(content, feed, values))
        except NotModelledError as reason:
            not_modelled[shaves] = str(reason)
            continue
        except BlobError as reason:
            return _report(Verdict.FAIL, f"{shaves} shaves: {reason}")
        on_shaves = any(stage.name == "Conv" for stage in Blob.from_bytes(content).all_stages())
        if error > (SOFTWARE_TOLERANCE if on_shaves else 0.0):
            return _report(Verdict.FAIL, f"the blob for {shaves} shaves is off by {error:.2g} of the largest output")
        if error > 0:
            software[shaves] = error
    equal = len(blobs) - len(software) - len(not_modelled)
    summary = f"{equal} blobs bit for bit the one for {BASE_SHAVES} shaves"
    for shaves, error in software.items():
        summary += f"; for {shaves}, with convolutions on the SHAVEs, within {error:.1g} of the largest output"
    if not_modelled:
        first = next(iter(not_modelled.values()))
        which = ", ".join(map(str, not_modelled))
        return not_executed(SUPERBLOB_STAGE, f"{first}, in the blob for {which} shaves; {summary}")
    return _report(Verdict.PASS, summary)


def _report(verdict: Verdict, summary: str) -> StageReport:
    return StageReport(stage=SUPERBLOB_STAGE, verdict=verdict, summary=summary, images=1)


def _outputs(content: bytes, feed: Tensors, values: Callable[[Tensors], Tensors]) -> dict[str, NDArray[np.float32]]:
    outputs = Simulator(Blob.from_bytes(content)).run(feed)
    return {name: np.asarray(array, np.float32) for name, array in values(outputs).items()}


def _largest_error(base: dict[str, NDArray[np.float32]], outputs: dict[str, NDArray[np.float32]]) -> float:
    """Largest difference over the largest value of the same output, of all outputs.

    Infinite for values that are not finite, for other outputs, and for one that is not zero where it has to be.
    """
    finite = all(np.isfinite(array).all() for array in (*base.values(), *outputs.values()))
    shapes = [{name: array.shape for name, array in tensors.items()} for tensors in (base, outputs)]
    if not finite or shapes[0] != shapes[1]:
        return float("inf")
    return max(_relative(np.abs(base[name] - outputs[name]).max(), np.abs(base[name]).max()) for name in base)


def _relative(error: float, largest: float) -> float:
    if error == 0:
        return 0.0
    return float(error / largest) if largest > 0 else float("inf")
