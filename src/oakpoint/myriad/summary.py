"""What is inside a blob, as data to print, to save as JSON or to draw."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.cost import CostEstimate, StageCost, estimate
from oakpoint.myriad.format import Location
from oakpoint.myriad.tensors import Buffer, IoTensor


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage for a table.

    Attributes:
        index: place in the order of execution.
        name: stage type; behind a plus, the type of the stage injected into it.
        unit: ``"NCE"``, ``"DMA"`` or ``"SHAVE"``.
        inputs, outputs: shape and place of each tensor, constants left out.
        operations: for a hardware stage, the engine's operation and mode of each descriptor, equal ones counted.
        cost: estimated time and traffic.
    """

    index: int
    name: str
    unit: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operations: str
    cost: StageCost


@dataclass(frozen=True, slots=True)
class BlobSummary:
    """A blob for a reader.

    Attributes:
        version: of the format.
        shaves, cmx_slices: for which it was compiled.
        inputs, outputs: one line each.
        input_bytes, output_bytes: memory of all inputs and of all outputs: what goes over the link for each frame.
        bss_bytes: memory in DDR for intermediate results.
        constant_bytes: weights and other constants.
        cmx_used_bytes: the highest byte of CMX that a stage uses.
        rows: the stages.
        stage_counts: how often each stage type occurs, injected stages included.
        estimate: time and totals.
    """

    version: str
    shaves: int
    cmx_slices: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    input_bytes: int
    output_bytes: int
    bss_bytes: int
    constant_bytes: int
    cmx_used_bytes: int
    rows: tuple[StageRow, ...]
    stage_counts: dict[str, int]
    estimate: CostEstimate


def summarize(blob: Blob) -> BlobSummary:
    """Collect what there is to say about a blob."""
    header = blob.header
    costs = estimate(blob)
    counts = Counter(stage.name for stage in blob.all_stages())
    cmx_ends = [
        buffer.offset + buffer.layout.extent
        for stage in blob.all_stages()
        for buffer in stage.buffers
        if buffer.location is Location.CMX and not buffer.layout.dynamic
    ]
    return BlobSummary(
        version=f"{header.version_major}.{header.version_minor}",
        shaves=header.shaves,
        cmx_slices=header.cmx_slices,
        inputs=tuple(_tensor_text(tensor) for tensor in blob.inputs),
        outputs=tuple(_tensor_text(tensor) for tensor in blob.outputs),
        input_bytes=header.inputs_size,
        output_bytes=header.outputs_size,
        bss_bytes=header.bss_size,
        constant_bytes=len(blob.constants),
        cmx_used_bytes=max(cmx_ends, default=0),
        rows=tuple(_row(stage, cost) for stage, cost in zip(blob.stages, costs.stages, strict=True)),
        stage_counts=dict(counts.most_common()),
        estimate=costs,
    )


def _tensor_text(tensor: IoTensor) -> str:
    shape = "x".join(map(str, tensor.shape))
    return f"{tensor.name}: {tensor.dtype.name} {tensor.order} {shape}"


def _row(stage: Stage, cost: StageCost) -> StageRow:
    name = stage.name if stage.injected is None else f"{stage.name} + {stage.injected.name}"
    return StageRow(
        stage.index,
        name,
        stage.unit,
        _places(stage.inputs),
        _places(stage.outputs),
        _operations(stage),
        cost,
    )


def _places(buffers: tuple[Buffer, ...]) -> tuple[str, ...]:
    return tuple(str(b) for b in buffers if b.location not in (Location.CONSTANT, Location.NONE))


def _operations(stage: Stage) -> str:
    counts = Counter(f"{d.operation.name.lower()} {d.kernel_y}x{d.kernel_x} {d.mode.label}" for d in stage.descriptors)
    return ", ".join(text if n == 1 else f"{n} * {text}" for text, n in counts.items())


def summary_as_json(summary: BlobSummary) -> dict[str, object]:
    """The summary as values that :mod:`json` can write; times in ms, sizes in bytes."""
    costs = summary.estimate
    plain = asdict(summary)
    plain["estimate"] = {
        "total_ms": costs.total_ms,
        "range_ms": list(costs.range_ms),
        "uncertainty": costs.uncertainty,
        "macs": costs.macs,
        "engine_cycles": costs.engine_cycles,
        "ddr_bytes": costs.ddr_bytes,
        "shaves": {
            "stages": costs.shave_stages,
            "share_of_elements": costs.shave_share,
            "least_ms": costs.shave_ms,
            "macs": costs.shave_macs,
        },
        "constants": [asdict(constant) for constant in costs.constants],
    }
    return plain
