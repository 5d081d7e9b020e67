"""How much memory a model takes for one image, known before it is run.

What is counted is derived from the model: the tensors that are alive at once, at most, when its operators run one after
the other (an operator's inputs and outputs, and whatever a later one still reads), and its inputs and outputs three
times, since they stand in the runtime, are copied out of it, and keypoints are made of them. Where a size cannot be
inferred, that tensor is not counted. Weights and what an operator needs within itself are not counted either.

``python benchmarks/memory.py --weights superpoint_v1.pth`` holds it against how far the peak of a process's memory
rises. At 12 megapixels (4000×3000), OpenVINO 2026.4, ONNX Runtime 1.32 and torch 2.13 on a CPU at f32:

========== =========== ============ ======== =====
network    runtime     measured     estimate ratio
========== =========== ============ ======== =====
SuperPoint openvino    6.99 GB      7.01 GB  1.00
SuperPoint onnxruntime 6.21 GB      7.01 GB  1.13
SuperPoint torch       9.32 GB      9.50 GB  1.02
acorn      openvino    0.71 GB      0.82 GB  1.15
acorn      onnxruntime 0.34 GB      0.82 GB  2.42
acorn      torch       0.58 GB      0.53 GB  0.92
========== =========== ============ ======== =====

At 1.2 and 4.9 megapixels the ratios are the same to 0.13, but for acorn in ONNX Runtime (1.98 at 1.2), which computes
layers in place. Beside it stand some 0.5 GB that runtimes and libraries take for the smallest image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from oakpoint.backends.onnxruntime import set_input_shapes
from oakpoint.backends.registry import ModelSource, RuntimeOptions
from oakpoint.bundle.interface import Interface

if TYPE_CHECKING:
    import onnx

PROBE_PX = 128
"""Side of the image on which a torch module is probed; its memory is taken to grow with the number of pixels."""


def memory_bytes(
    source: ModelSource, options: RuntimeOptions, interface: Interface, size: tuple[int, int]
) -> int | None:
    """About how many bytes a backend takes for one image of (W, H) pixels, beyond what it takes for a small one.

    Args:
        source: the model.
        options: where it runs.
        interface: its inputs.
        size: (W, H) in pixels.

    Returns:
        An estimate; None where there is none: of a blob, which has one size, or on a device with memory of its own.
    """
    if options.backend == "torch" and source.module is not None:
        from oakpoint.backends.torch import peak_bytes

        peak = peak_bytes(source.module, _shapes(interface, (PROBE_PX, PROBE_PX)))
        return None if peak is None else round(peak * (size[0] / PROBE_PX) * (size[1] / PROBE_PX))
    if options.backend in ("onnxruntime", "openvino") and options.device == "CPU" and source.onnx is not None:
        return onnx_memory_bytes(source.onnx, _shapes(interface, size))
    return None


def onnx_memory_bytes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """The same for an ONNX file at input shapes by name; None for a file in which no shapes can be inferred."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
        set_input_shapes(model, shapes)
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # noqa: BLE001 - of a file that is none, or is damaged: opening it says so
        return None
    sizes = {value.name: _bytes_of(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    inputs = [value for value in graph.input if value.name in shapes]
    ends = sum(sizes[value.name] for value in (*inputs, *graph.output))
    return _peak(graph, sizes) + 3 * ends


def _shapes(interface: Interface, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    at = interface.at(size).tensors
    return {spec.name: tuple(side if isinstance(side, int) else 1 for side in spec.shape) for spec in at}


def _peak(graph: onnx.GraphProto, sizes: dict[str, int]) -> int:
    """Bytes of the tensors alive at once, at most. Nodes stand in the order in which they run."""
    last_use = {name: index for index, node in enumerate(graph.node) for name in node.input}
    last_use |= {value.name: len(graph.node) for value in graph.output}
    constants = {tensor.name for tensor in graph.initializer}
    alive = peak = sum(sizes[value.name] for value in graph.input if value.name not in constants)
    for index, node in enumerate(graph.node):
        alive += sum(sizes.get(name, 0) for name in node.output)
        peak = max(peak, alive)
        read = {name for name in node.input if last_use[name] == index and name not in constants}
        unread = {name for name in node.output if name not in last_use}
        alive -= sum(sizes.get(name, 0) for name in read | unread)
    return peak


def _bytes_of(value: onnx.ValueInfoProto) -> int:
    tensor = value.type.tensor_type
    sides = [dimension.dim_value for dimension in tensor.shape.dim]  # 0 where it is not known
    if not tensor.elem_type:
        return 0
    from onnx import helper

    return int(math.prod(sides) * helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize)
