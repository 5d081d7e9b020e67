"""Between depthai's ``NNData`` and named tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oakpoint.backends.base import Tensors
from oakpoint.bundle.interface import TensorSpec
from oakpoint.errors import BackendError
from oakpoint.oak.runtime import import_depthai


def tensors_from_nn_data(data: Any, specs: Sequence[TensorSpec]) -> Tensors:
    """The network's tensors by name: float32, packed ones int32.

    Args:
        data: a ``depthai.NNData`` from a ``NeuralNetwork`` node or its stand-in.
        specs: what the network gives: names, types and shapes, outermost dimension first.

    Raises:
        BackendError: a tensor is missing or of another shape; the message says how depthai describes it.
    """
    there = data.getAllLayerNames()
    missing = [spec.name for spec in specs if spec.name not in there]
    if missing:
        expected = ", ".join(spec.name for spec in specs)
        raise BackendError(
            f"camera: expected the tensors {expected}, got {', '.join(there) or 'none'}; is another network running?"
        )
    return {spec.name: _tensor(data, spec) for spec in specs}


def _tensor(data: Any, spec: TensorSpec) -> NDArray[Any]:
    # depthai gives FP16 as float32 and S32 as int32; as float32 an int32 would lose its lowest bits.
    tensor = np.asarray(data.getTensor(spec.name), np.int32 if spec.dtype == "int32" else np.float32)
    if tensor.shape != spec.shape:
        info = data.getTensorInfo(spec.name)
        raise BackendError(
            f"camera: tensor {spec.name}: expected {spec.shape}, got {tensor.shape} "
            f"(dims {info.dims}, strides {info.strides}, order {info.order.name}); convert again for this depthai"
        )
    return tensor


def nn_data_from_tensors(tensors: Mapping[str, NDArray[Any]]) -> Any:
    """A ``depthai.NNData`` with each tensor outermost dimension first, as a blob's outputs are described.

    int32 goes as S32, everything else as FP16. depthai takes a tensor of rank 4 as NCHW and one of rank 3 as CHW, which
    is what it reads from our blobs, too.
    """
    depthai = import_depthai()
    kinds = depthai.TensorInfo.DataType
    data = depthai.NNData()
    for name, tensor in tensors.items():
        if tensor.dtype == np.int32:
            data.addTensor(name, np.ascontiguousarray(tensor), kinds.INT)
            continue
        with np.errstate(over="ignore"):  # beyond 65504 FP16 has infinity, on the chip as here
            half = np.ascontiguousarray(tensor, np.float16)
        data.addTensor(name, half, kinds.FP16)
    return data
