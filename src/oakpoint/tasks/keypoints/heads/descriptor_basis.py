"""Fewer values for each descriptor, where a network's descriptors do not use them all.

Descriptors are weights · x + bias of the last convolution. Where those weights have a lower rank than rows, or nearly
so, the descriptors lie in a subspace, and their coordinates in an orthonormal basis of it say the same with fewer
numbers: norms, cosines and distances between descriptors stay what they are. The projection is folded into the
convolution, which becomes smaller by it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from oakpoint.convert.graph_edit import producer_of
from oakpoint.convert.rewrites.base import COMPUTED
from oakpoint.errors import ConversionError

VALUES_STEP = 8
"""Reduced descriptors have a multiple of this many values: the engine pads output channels to 8 anyway."""


def descriptor_basis(source: onnx.ModelProto | Path, tensor: str) -> NDArray[np.float64]:
    """An orthonormal basis of a network's descriptors, the directions that its weights stretch most first.

    Args:
        source: the network; its descriptors come out of a convolution with constant weights.
        tensor: name of the descriptors.

    Returns:
        (D, D), a direction in each column; the largest entry of each is positive, so that it is the same everywhere.

    Raises:
        ConversionError: no ONNX file, or descriptors that come out of something else.
    """
    graph = (onnx.load(source) if isinstance(source, Path) else source).graph
    _, weights, bias = _last_convolution(graph, tensor)
    directions, _, _ = np.linalg.svd(np.column_stack([weights.reshape(len(weights), -1), bias]), full_matrices=True)
    largest = np.abs(directions).argmax(axis=0)
    return np.asarray(directions * np.sign(directions[largest, np.arange(len(directions))]), np.float64)


def project_descriptors(graph: onnx.GraphProto, tensor: str, values: int) -> None:
    """Give descriptors their coordinates along the first directions of ``descriptor_basis`` in place of their values.

    Args:
        graph: changed in place.
        tensor: name of the descriptors.
        values: how many directions, 1 to D.

    Raises:
        ConversionError: descriptors that come out of something else than a convolution.
    """
    node, weights, bias = _last_convolution(graph, tensor)
    basis = descriptor_basis(onnx.helper.make_model(graph), tensor)[:, :values].T
    projected = np.einsum("kd,dchw->kchw", basis, weights), basis @ bias
    names = [f"{tensor}{COMPUTED}weights", f"{tensor}{COMPUTED}bias"]
    unused = set(node.input[1:])
    graph.initializer.extend(
        numpy_helper.from_array(a.astype(np.float32), name) for a, name in zip(projected, names, strict=True)
    )
    node.input[:] = [node.input[0], *names]
    unused -= {name for other in graph.node for name in other.input}
    for initializer in [initializer for initializer in graph.initializer if initializer.name in unused]:
        graph.initializer.remove(initializer)


def values_for_cosine(coefficients: NDArray[np.float64], cosine: float) -> int:
    """How many directions are enough for every descriptor.

    Args:
        coefficients: (D, N), descriptors along the directions of ``descriptor_basis``.
        cosine: the smallest one allowed between a descriptor and what is left of it.

    Returns:
        A multiple of ``VALUES_STEP``, or D.
    """
    energy = np.cumsum(np.square(coefficients), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.sqrt(energy / energy[-1])  # the cosine with the first k coordinates kept
    enough = np.nan_to_num(kept, nan=1.0).min(axis=1) >= cosine
    needed = int(np.argmax(enough)) + 1
    return min(-(-needed // VALUES_STEP) * VALUES_STEP, len(coefficients))


def _last_convolution(
    graph: onnx.GraphProto, tensor: str
) -> tuple[onnx.NodeProto, NDArray[np.float64], NDArray[np.float64]]:
    """The convolution behind the descriptors, its weights (D, C, H, W) and bias (D,)."""
    node = producer_of(graph, tensor)
    while node.op_type == "Identity":
        node = producer_of(graph, node.input[0])
    constants = {initializer.name: numpy_helper.to_array(initializer) for initializer in graph.initializer}
    weights = constants.get(node.input[1]) if node.op_type == "Conv" else None
    known = all(name in constants for name in node.input[1:])
    groups = any(attribute.name == "group" and attribute.i != 1 for attribute in node.attribute)
    if weights is None or not known or groups:
        raise ConversionError(
            f"layer {node.name or node.output[0]!r} ({node.op_type}): heads reduced need descriptors that come out of "
            "a convolution with constant weights; take --heads heatmap, which leaves descriptors as they are"
        )
    bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(weights))
    return node, weights.astype(np.float64), bias.astype(np.float64)
