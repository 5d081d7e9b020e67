"""Where outputs become keypoints: in NumPy, in the network's graph, or some in each.

=========== ===========================================================================================================
decoding    what is done
=========== ===========================================================================================================
``numpy``   everything in NumPy: the reference
``graph``   everything in one graph, from the image's levels to keypoints, scores and descriptors (``fused.model``):
            the one that a bundle holds, where it was made for these options and this size
``auto``    what is fastest by measurement (``benchmarks/fused.py``): with OpenVINO on a CPU the heat map in the graph
            (``fused.dense_part``) and the rest in NumPy, for networks of the family ``cells``; else ``numpy``
=========== ===========================================================================================================

Which keypoints there are, and their numbers, are the same by each of them but for float32's rounding, as they are with
another version of the runtime; so features files are not bound to it.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from oakpoint.backends.base import Backend
from oakpoint.backends.registry import INT8, ModelSource, RuntimeOptions, open_backend
from oakpoint.bundle.interface import Interface
from oakpoint.errors import UsageError
from oakpoint.tasks.base import Task
from oakpoint.tasks.keypoints.families.cells import Cells
from oakpoint.tasks.keypoints.fused.decoding import require_resolved
from oakpoint.tasks.keypoints.fused.dense_part import with_heatmap
from oakpoint.tasks.keypoints.fused.recorded import RecordedGraph
from oakpoint.tasks.keypoints.task import OUTPUTS, Keypoints

Decoding = Literal["auto", "graph", "numpy"]

WHOLE_IN = ("openvino", "onnxruntime")
"""Backends that run a graph with decoding in it."""


def checked_decoding(name: str) -> Decoding:
    """One of the names above.

    Raises:
        UsageError: another one.
    """
    if name not in get_args(Decoding):
        raise UsageError(f"decoding: expected one of {', '.join(get_args(Decoding))}, got {name!r}")
    return name  # type: ignore[return-value]


def with_dense_part(options: RuntimeOptions) -> RuntimeOptions:
    """The same runtime with the heat map in the graph, where that is faster, and no less exact than in NumPy.

    At bf16 OpenVINO's CPU plugin leaves in float32 what comes behind a network's last convolution or product of
    matrices; at f16 it need not. Models without cells stay as they are.

    Source: ``Graph::EnforceInferencePrecision`` in OpenVINO's src/plugins/intel_cpu/src/graph.cpp.
    """
    faster = options.backend == "openvino" and options.device == "CPU"
    return replace(options, edit=with_heatmap) if faster and options.precision != "f16" else options


def mistaken(task: Task[Any], interface: Interface) -> bool:
    """Whether the outputs have the names of cells, and the task reads them as something else."""
    cells = isinstance(task, Keypoints) and task.family == Cells.name
    return not cells and {spec.name for spec in interface.outputs} == set(OUTPUTS)


def require_whole(task: Task[Any], options: RuntimeOptions, source: ModelSource) -> None:
    """Refuse ``decoding="graph"`` where there is no such graph.

    Raises:
        UsageError: another task, backend or kind of model, or options that a graph does not have.
    """
    if not isinstance(task, Keypoints):
        raise UsageError(f"decoding: a network for {task.name} is read in NumPy; leave --decoding out")
    if options.backend not in WHOLE_IN:
        raise UsageError(f"decoding: graph runs with {' or '.join(WHOLE_IN)}, not with {options.backend}")
    if options.precision == INT8:
        raise UsageError(f"decoding: graph is made from the ONNX, which is not in {INT8}; leave one of them out")
    if source.onnx is None:
        raise UsageError("decoding: graph is made from a model's ONNX, and there is none here; use numpy")
    require_resolved(task.decode)


def open_whole(
    source: ModelSource,
    options: RuntimeOptions,
    interface: Interface,
    task: Keypoints,
    recorded: RecordedGraph | None = None,
) -> Backend:
    """A backend of the whole way, see ``fused.model``.

    Args:
        source: with an ONNX file.
        options: where it runs.
        interface: of the network, at the size of the images.
        task: with the options of decoding.
        recorded: a graph that is there already, which runs where it is the one that is wanted; else one is made.

    Raises:
        UsageError: see ``fused_model``.
        BackendError: the runtime cannot load it.
    """
    import onnx

    from oakpoint.tasks.keypoints.fused.model import fused_interface, fused_model

    assert source.onnx is not None, "asked before"
    options = replace(options, edit=None)
    if recorded is not None and recorded.serves(interface, task):
        return open_backend(ModelSource(onnx=recorded.path), options, recorded.interface.tensors)
    model = fused_model(onnx.load(source.onnx), interface, task)
    with tempfile.TemporaryDirectory(prefix="oakpoint-fused-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        whole = ModelSource(onnx=path)
        return open_backend(whole, options, fused_interface(interface).tensors)
