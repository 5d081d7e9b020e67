"""A time estimate of a blob, from what its stages ask of the engine and of memory.

Time of a stage on one of the chip's two engines = engine cycles / clock + bytes over DDR / rate + a fixed part. It
ranks networks; taken as milliseconds it holds to about ±30 %. What the SHAVEs calculate has no model: of it the least
time counts that it can take (:mod:`oakpoint.myriad.shave_cost`), and how much of the network it is, is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from oakpoint.errors import UsageError
from oakpoint.myriad.blob import Blob, Stage
from oakpoint.myriad.format import MAX_SHAVES, Location, NceMode, NceOperation
from oakpoint.myriad.nce import NceDescriptor
from oakpoint.myriad.shave_cost import LANES, least_shave_ms, shave_macs

UNCERTAINTY: Final = 0.3
"""Share by which the estimate may be off.

Source: held-out networks, MobileOne-S0 (12.4 ms estimated, 11.1 published) and SuperPoint
at 320x200 (50.6 ms estimated for 10 SHAVEs, about 63 measured by RTAB-Map's author).
"""

POOL_CHANNELS_PER_STEP: Final = 16
ENGINES: Final = 2


@dataclass(frozen=True, slots=True)
class CostConstant:
    """A constant of the model: its value, its unit, where it is from."""

    name: str
    value: float
    unit: str
    source: str


CLOCK: Final = CostConstant("engine clock", 700.0, "MHz", "assumed; no document confirms it")
MEMORY: Final = CostConstant(
    "DDR traffic", 0.171, "ms/MB", "solved from the published times of ResNet-18 and ResNet-50 below"
)
STAGE: Final = CostConstant(
    "each stage", 0.033, "ms", "solved from ResNet-18 19.7 ms and ResNet-50 56.5 ms at 224x224 with 8 SHAVEs (Luxonis)"
)
MULTIPLIERS: Final = CostConstant(
    "multiply-accumulates per cycle", 256.0, "1", "OpenVINO 2021.3, graph_transformer hw/tiling.hpp: inputs x outputs"
)
VECTORS: Final = CostConstant(
    "FP16 operations of a SHAVE per cycle, at most", float(LANES), "1", "WikiChip, SHAVE v2.0: 128-bit vectors; a bound"
)
CONSTANTS: Final = (CLOCK, MEMORY, STAGE, MULTIPLIERS, VECTORS)

MODE_CYCLES: Final = {
    NceMode.MODE_1X256: 0,
    NceMode.MODE_2X128: 5,
    NceMode.MODE_4X64: 11,
    NceMode.MODE_8X32: 19,
    NceMode.MODE_16X16: 31,
}
"""Cycles that each output pixel costs beyond its products.

Source: ``CNN_MODES_COST`` in hw/tiling.hpp, OpenVINO 2021.3.
"""


@dataclass(frozen=True, slots=True)
class StageCost:
    """What one stage, with the stage injected into it, asks for.

    Attributes:
        index, name, unit: as in the blob.
        start_ms: estimated time at which it begins.
        engine_cycles: cycles of one neural compute engine.
        macs: multiply-accumulates, the compiler's padding of channels included.
        read_bytes, written_bytes: over DDR: BSS, inputs and outputs.
        constant_bytes: weights and other constants read, over DDR as well.
        cmx_bytes: read and written in CMX.
        elements: written, whatever their type.
        engine_ms, memory_ms, fixed_ms: the three parts of its time.
        shave_ms: the least time of what the SHAVEs calculate; in a hardware stage of the stage injected into it, which
            runs beside the engine.
    """

    index: int
    name: str
    unit: str
    start_ms: float
    engine_cycles: int
    macs: int
    read_bytes: int
    written_bytes: int
    constant_bytes: int
    cmx_bytes: int
    elements: int
    engine_ms: float
    memory_ms: float
    fixed_ms: float
    shave_ms: float

    @property
    def total_ms(self) -> float:
        """Estimated time of the stage."""
        return max(self.engine_ms, self.shave_ms) + self.memory_ms + self.fixed_ms

    @property
    def ddr_bytes(self) -> int:
        """Bytes over DDR."""
        return self.read_bytes + self.written_bytes + self.constant_bytes


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Estimated time of a network on one engine.

    Attributes:
        stages: in the order of execution.
        shaves: SHAVEs and CMX slices that the blob was compiled for.
        constants: of the model, with their sources.
        uncertainty: share by which the times may be off.
    """

    stages: tuple[StageCost, ...]
    shaves: int
    constants: tuple[CostConstant, ...] = CONSTANTS
    uncertainty: float = UNCERTAINTY

    @property
    def total_ms(self) -> float:
        """Estimated time of one inference."""
        return sum(stage.total_ms for stage in self.stages)

    @property
    def range_ms(self) -> tuple[float, float]:
        """Least and greatest time that the uncertainty allows."""
        return self.total_ms * (1 - self.uncertainty), self.total_ms * (1 + self.uncertainty)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(stage.macs for stage in self.stages)

    @property
    def shave_macs(self) -> int:
        """Multiply-accumulates on the SHAVEs, of whose time the least counts: with any, it takes longer than said."""
        return sum(stage.macs for stage in self.stages if stage.unit == "SHAVE")

    @property
    def shave_stages(self) -> int:
        """Stages on the SHAVEs, of which the least time counts."""
        return sum(stage.unit == "SHAVE" for stage in self.stages)

    @property
    def shave_share(self) -> float:
        """Share of all elements written that the SHAVEs write."""
        written = sum(stage.elements for stage in self.stages)
        return sum(stage.elements for stage in self.stages if stage.unit == "SHAVE") / max(written, 1)

    @property
    def shave_ms(self) -> float:
        """The least time of what the SHAVEs calculate on their own; part of the total."""
        return sum(stage.shave_ms for stage in self.stages if stage.unit == "SHAVE")

    @property
    def engine_cycles(self) -> int:
        """Engine cycles of one inference."""
        return sum(stage.engine_cycles for stage in self.stages)

    @property
    def ddr_bytes(self) -> int:
        """Bytes over DDR in one inference, constants included."""
        return sum(stage.ddr_bytes for stage in self.stages)


def estimate(blob: Blob) -> CostEstimate:
    """Estimate the time of a blob, stage by stage, on one engine."""
    costs = []
    start_ms = 0.0
    for stage in blob.stages:
        cost = _stage_cost(stage, start_ms, blob.header.shaves)
        costs.append(cost)
        start_ms += cost.total_ms
    return CostEstimate(tuple(costs), blob.header.shaves)


def _stage_cost(stage: Stage, start_ms: float, shaves: int) -> StageCost:
    read = written = constant = cmx = elements = 0
    shave_ms = 0.0
    for part in (stage, stage.injected):
        if part is None:
            continue
        shave_ms += least_shave_ms(part, shaves, CLOCK.value)
        for buffer in part.inputs:
            if buffer.location in (Location.INPUT, Location.BSS):
                read += buffer.layout.nbytes
            elif buffer.location is Location.CONSTANT:
                constant += buffer.layout.nbytes
            elif buffer.location is Location.CMX:
                cmx += buffer.layout.nbytes
        for buffer in part.outputs:
            elements += buffer.layout.size
            if buffer.location is Location.CMX:
                cmx += buffer.layout.nbytes
            else:
                written += buffer.layout.nbytes
    cycles = sum(_cycles(stage, descriptor) for descriptor in stage.descriptors)
    macs = sum(_engine_macs(stage, descriptor) for descriptor in stage.descriptors) + shave_macs(stage)
    return StageCost(
        stage.index, stage.name, stage.unit, start_ms, cycles, macs, read, written, constant, cmx, elements,
        engine_ms=cycles / (CLOCK.value * 1e3),
        memory_ms=(read + written + constant) / 1e6 * MEMORY.value,
        fixed_ms=STAGE.value,
        shave_ms=shave_ms,
    )  # fmt: skip


def _pixels(stage: Stage, descriptor: NceDescriptor) -> int:
    """Pixels that the engine calculates, those that a pooling behind a convolution drops included."""
    layout = stage.buffers[descriptor.output].layout
    return layout.dim("H") * layout.dim("W") * descriptor.pool_x * descriptor.pool_y


def _cycles(stage: Stage, descriptor: NceDescriptor) -> int:
    """Engine cycles of one descriptor.

    Source: ``splitHwConvIntoOutChannelsTiles`` in ``src/middleend/hw/tiling.cpp``, OpenVINO 2021.3.
    """
    if descriptor.operation is NceOperation.FULLY_CONNECTED:
        return math.ceil(_engine_macs(stage, descriptor) / MULTIPLIERS.value)
    pixels = _pixels(stage, descriptor)
    taps = descriptor.kernel_x * descriptor.kernel_y
    if descriptor.operation is NceOperation.POOL:
        return pixels * taps * -(-descriptor.channel_count // POOL_CHANNELS_PER_STEP)
    channels = stage.buffers[descriptor.weights].layout.dim("C")
    steps = -(-channels // descriptor.mode.input_block)
    return pixels * (steps * taps + MODE_CYCLES[descriptor.mode])


def least_cycles(pixels: int, inputs: int, outputs: int, taps: int) -> int:
    """Engine cycles of a convolution in the mode that takes the fewest, as the compiler chooses it.

    Args:
        pixels: of the output.
        inputs: channels read.
        outputs: channels written.
        taps: elements of the kernel.
    """
    return min(
        pixels
        * -(-outputs // (int(MULTIPLIERS.value) // mode.input_block))
        * (-(-inputs // mode.input_block) * taps + c)
        for mode, c in MODE_CYCLES.items()
    )


def _engine_macs(stage: Stage, descriptor: NceDescriptor) -> int:
    if descriptor.fully_connected is not None:
        return descriptor.fully_connected.input_count * descriptor.fully_connected.output_count
    if descriptor.operation is NceOperation.POOL:
        return 0
    taps = descriptor.kernel_x * descriptor.kernel_y * stage.buffers[descriptor.weights].layout.dim("C")
    return _pixels(stage, descriptor) * taps * descriptor.channel_count


@dataclass(frozen=True, slots=True)
class ShaveAdvice:
    """What a number of SHAVEs and of inference threads promises.

    Attributes:
        shaves: for which the blob was compiled, for each thread.
        threads: inferences side by side, each on an engine of its own.
        latency_ms: estimated time of one inference.
        frames_per_second: estimated, of all threads together.
        lower_bound: whether convolutions or matrix products run on the SHAVEs, of whose time only the least is known:
            it takes longer than said.
    """

    shaves: int
    threads: int
    latency_ms: float
    frames_per_second: float
    lower_bound: bool


def advise(blobs: Iterable[Blob]) -> tuple[ShaveAdvice, ...]:
    """Compare blobs of one network, compiled for different numbers of SHAVEs, with one and with two threads.

    Two threads take twice the SHAVEs and CMX, which the chip has 16 of and shares with the camera pipeline; they are
    taken not to slow each other down in DDR, where they meet. The SHAVEs' own speed is not modelled: what changes with
    their number is how the compiler cuts the network into tiles.

    Returns:
        One entry for each possible pair, the most frames per second first, those that are lower bounds last.

    Raises:
        UsageError: no blob is given, or two for one number of SHAVEs.
    """
    advice: list[ShaveAdvice] = []
    seen: set[int] = set()
    for blob in blobs:
        shaves = blob.header.shaves
        if shaves in seen:
            raise UsageError(f"two blobs for {shaves} SHAVEs: give one for each number")
        seen.add(shaves)
        costs = estimate(blob)
        latency = costs.total_ms
        advice += [
            ShaveAdvice(shaves, threads, latency, threads * 1e3 / latency, costs.shave_macs > 0)
            for threads in range(1, ENGINES + 1)
            if shaves * threads <= MAX_SHAVES
        ]
    if not advice:
        raise UsageError("shave advice needs at least one blob")
    return tuple(sorted(advice, key=lambda entry: (entry.lower_bound, -entry.frames_per_second, entry.shaves)))
