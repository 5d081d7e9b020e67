"""Weights compared value by value along the chain: what no image can show, a flipped bit in an unimportant weight."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from oakpoint.convert.ir_from_onnx import ir_constants
from oakpoint.errors import ConversionError

MIN_SIZE = 2
"""Single numbers (axes, exponents, epsilons) are the runtimes' own business."""


def onnx_weights(path: Path) -> dict[str, NDArray[Any]]:
    """The floating-point initialisers of an ONNX file, by name.

    Raises:
        ConversionError: no ONNX file, or a damaged one.
    """
    try:
        arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    except Exception as error:
        raise ConversionError(f"{path}: not an ONNX file that can be read ({type(error).__name__})") from error
    return {name: a for name, a in arrays.items() if np.issubdtype(a.dtype, np.floating) and a.size >= MIN_SIZE}


Norm = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Factor and shift (C,) of a batch norm."""

FOLDED_TOLERANCE = 1e-5
"""Relative to a tensor's largest value: float32 products of weights and a batch norm's factor, rounded elsewhere."""


def share_equal_by_name(expected: Mapping[str, NDArray[Any]], path: Path, norms: Sequence[Norm] = ()) -> float:
    """Share of the network's tensors that stand in the ONNX file under their name, bit for bit.

    The exporter folds a batch norm into the convolution before it and keeps the convolution's names: such a tensor
    counts when it is the network's times the factor of one of the norms, to ``FOLDED_TOLERANCE``. Tensors without a
    counterpart do not count; NaN when none has one.
    """
    found = onnx_weights(path)
    shared = [name for name in expected if name in found]
    same = sum(
        found[name].tobytes() == expected[name].astype(found[name].dtype).tobytes()
        or any(_is_folded(found[name], expected[name], norm) for norm in norms)
        for name in shared
    )
    return same / len(shared) if shared else float("nan")


def _is_folded(found: NDArray[Any], expected: NDArray[Any], norm: Norm) -> bool:
    factor, shift = norm
    if found.shape != expected.shape or expected.shape[:1] != factor.shape:
        return False
    folded = expected * factor.reshape(-1, *[1] * (expected.ndim - 1)) + (shift if expected.ndim == 1 else 0.0)
    return bool(np.abs(found - folded).max() <= FOLDED_TOLERANCE * np.abs(folded).max())


def share_rounded_in_ir(onnx_path: Path, xml: Path) -> float:
    """Share of the ONNX file's weights that stand in the IR rounded once to FP16 (or unrounded); NaN without any."""
    expected = list(onnx_weights(onnx_path).values())
    left = Counter(_digest(array) for array in ir_constants(xml))
    found = 0
    for array in expected:
        digest = next((d for d in _digests_of_roundings(array) if left[d] > 0), None)
        if digest is not None:
            left[digest] -= 1
            found += 1
    return found / len(expected) if expected else float("nan")


def _digests_of_roundings(array: NDArray[Any]) -> Iterable[bytes]:
    with np.errstate(over="ignore"):
        yield _digest(array.astype(np.float16))
    yield _digest(array.astype(np.float32))


def _digest(array: NDArray[Any]) -> bytes:
    """Of type and values, not of the shape: runtimes add dimensions of size 1 to biases."""
    return hashlib.sha256(str(array.dtype).encode() + np.ascontiguousarray(array).tobytes()).digest()
