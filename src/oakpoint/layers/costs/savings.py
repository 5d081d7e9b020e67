"""What a change of a layer would save, derived from what the layer costs: the layers whose replacement saves most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import onnx

from oakpoint.convert.graph_edit import attributes_of, static_sizes
from oakpoint.layers.costs.costs import LayerCost, NetworkCosts
from oakpoint.myriad.cost import CLOCK, MEMORY, STAGE, StageCost, least_cycles
from oakpoint.myriad.format import StageType, stage_name

MOST: Final = 3
"""How many layers are told of."""

NARROW: Final = 32
"""Channels below which half of them saves little: the engine multiplies at least 16 inputs with 16 outputs at once."""

FINE: Final = 4
"""A map is fine where its sides are more than a quarter of the image's: there half the resolution is to be had."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A layer, and what in its place would take less time.

    Attributes:
        cost: the layer.
        change: what to put in its place.
        then_ms: estimated time of what is put there.
    """

    cost: LayerCost
    change: str
    then_ms: float

    @property
    def saved_ms(self) -> float:
        """Estimated time that the change saves, all other layers as they are."""
        return self.cost.total_ms - self.then_ms


def replacements(costs: NetworkCosts, most: int = MOST) -> tuple[Replacement, ...]:
    """The layers whose replacement saves most, the largest saving first, each with its best replacement.

    What they cost in accuracy is not known here: each wants training.
    """
    sizes = {name: size for name, size in static_sizes(costs.device.model).items() if size}
    image = max((_pixels(sizes.get(value.name)) for value in costs.device.model.graph.input), default=0)
    found = []
    for cost in costs.layers:
        facts = _Facts(costs, cost, sizes, image)
        possible = [one for rule in _RULES if (one := rule(facts)) is not None and one.saved_ms > 0]
        if possible:
            found.append(max(possible, key=lambda one: one.saved_ms))
    return tuple(sorted(found, key=lambda one: -one.saved_ms)[:most])


@dataclass(frozen=True, slots=True)
class Kind:
    """One change to all layers of a kind.

    Attributes:
        change: what to put in their place.
        layers: how many.
        stages: how many stages are gone then.
        saved_ms: estimated time that it saves.
    """

    change: str
    layers: int
    stages: int
    saved_ms: float


def kinds(costs: NetworkCosts) -> tuple[Kind, ...]:
    """Changes that save a little in each of several layers, the largest sum first.

    A stage that runs inside a hardware stage is gone without a saving, and does not count.
    """
    found: dict[str, list[StageCost]] = {}
    layers: dict[str, set[int]] = {}
    for place, cost in enumerate(costs.layers):
        facts = _Facts(costs, cost, {}, 0)
        for stage in facts.stages("SHAVE", "DMA"):
            if change := facts.instead(stage):
                found.setdefault(change, []).append(stage)
                layers.setdefault(change, set()).add(place)
    several = [
        Kind(change, len(layers[change]), len(stages), sum(stage.total_ms for stage in stages))
        for change, stages in found.items()
        if len(layers[change]) > 1
    ]
    return tuple(sorted(several, key=lambda kind: -kind.saved_ms))


def _pixels(size: Sequence[int] | None) -> int:
    """Pixels of a tensor of four dimensions; 0 of any other."""
    return size[2] * size[3] if size is not None and len(size) == 4 else 0


@dataclass(frozen=True, slots=True)
class _Facts:
    """A layer with all that rules ask of it."""

    costs: NetworkCosts
    cost: LayerCost
    sizes: dict[str, list[int]]
    image_pixels: int

    def node(self, *operators: str) -> onnx.NodeProto | None:
        """The layer of the device graph that does its work, if it is of one of these operators."""
        nodes = self.costs.device.model.graph.node
        return next((nodes[place] for place in self.cost.nodes if nodes[place].op_type in operators), None)

    def stages(self, *units: str) -> list[StageCost]:
        """Its stages on some units of the chip."""
        own = set(self.cost.stages)
        return [stage for stage in self.costs.estimate.stages if stage.index in own and stage.unit in units]

    def instead(self, stage: StageCost) -> str:
        """What does without a stage; empty where nothing is known that does."""
        if stage.name == _PERMUTE and self.cost.layer.operator != "Transpose":
            return "maps and 1x1 convolutions all along: around a matrix product the order of the axes is changed"
        if stage.unit == "DMA" and self.stages("NCE"):
            return (
                "maps that fit into CMX, smaller or of fewer channels, or more shaves: it is cut into tiles and copied"
            )
        if stage.name in _AT_THE_END and any(
            later.macs for later in self.costs.estimate.stages if later.index > stage.index
        ):
            return ""
        return _INSTEAD.get(stage.name, "")

    def memory_ms(self, activations: float, held_bytes: float) -> float:
        """Time over DDR with a share of what is moved beside the constants; nothing of it where CMX holds it all."""
        moved = (self.cost.ddr_bytes - self.cost.constant_bytes) * activations
        if held_bytes <= self.costs.blob.header.cmx_size:
            moved = 0.0
        return (moved + self.cost.constant_bytes * min(1.0, activations * 4)) / 1e6 * MEMORY.value

    def held_bytes(self, node: onnx.NodeProto) -> int:
        """FP16 input and output of a layer, whole."""
        return 2 * sum(math.prod(self.sizes.get(name, [0])) for name in (node.input[0], node.output[0]))

    def replaced(self, change: str, *, engine_ms: float, memory_ms: float, stages: int) -> Replacement:
        return Replacement(self.cost, change, engine_ms + memory_ms + stages * STAGE.value)


def _at_half_resolution(facts: _Facts) -> Replacement | None:
    """A fine map at half the resolution: a quarter of the pixels, of the traffic and of the tiles."""
    node = facts.node("Conv", "MaxPool", "AveragePool")
    size = facts.sizes.get(node.output[0]) if node is not None else None
    if node is None or size is None or len(size) != 4 or min(size[2:]) < 2:
        return None
    if _pixels(size) * FINE**2 <= facts.image_pixels:
        return None
    return facts.replaced(
        f"compute it at {size[3] // 2}x{size[2] // 2} instead of {size[3]}x{size[2]}: a stride of 2, or space to "
        "depth, before it",
        engine_ms=facts.cost.engine_ms / 4,
        memory_ms=facts.memory_ms(1 / 4, facts.held_bytes(node) / 4),
        stages=math.ceil(len(facts.cost.stages) / 4),
    )


def _at_half_width(facts: _Facts) -> Replacement | None:
    """A wide convolution with half the channels, in and out."""
    node = facts.node("Conv")
    kernel = facts.sizes.get(node.input[1]) if node is not None else None
    if node is None or kernel is None or len(kernel) != 4 or attributes_of(node).get("group", 1) != 1:
        return None
    outputs, inputs, taps = kernel[0], kernel[1], kernel[2] * kernel[3]
    if min(inputs, outputs) <= NARROW:
        return None
    now = least_cycles(1, inputs, outputs, taps)
    then = least_cycles(1, inputs // 2, outputs // 2, taps)
    return facts.replaced(
        f"half the channels, {inputs // 2} to {outputs // 2} instead of {inputs} to {outputs}: {then} cycles of the "
        f"engine for each pixel instead of {now}",
        engine_ms=facts.cost.engine_ms * then / now,
        memory_ms=facts.memory_ms(1 / 2, facts.held_bytes(node) / 2),
        stages=math.ceil(len(facts.cost.stages) / 2),
    )


def _on_the_engine(facts: _Facts) -> Replacement | None:
    """A convolution or matrix product on the SHAVEs as one that the engine takes."""
    work = [stage for stage in facts.stages("SHAVE") if stage.macs]
    if not work:
        return None
    cycles = sum(_cycles_on_engine(facts, stage) for stage in work)
    then = cycles / (CLOCK.value * 1e3) + sum(stage.memory_ms for stage in work) + len(work) * STAGE.value
    rest = facts.cost.total_ms - sum(stage.total_ms for stage in work)
    what = "a 1x1 convolution" if any(stage.name in _PRODUCTS for stage in work) else "ungrouped and without dilation"
    macs = sum(stage.macs for stage in work)
    return Replacement(
        facts.cost, f"{what}: the engine takes its {macs / 1e6:.1f} M multiply-accumulates from the SHAVEs", rest + then
    )


_PRODUCTS: Final = tuple(stage_name(kind) for kind in (StageType.GEMM, StageType.FC))


def _cycles_on_engine(facts: _Facts, stage: StageCost) -> int:
    """Engine cycles of what a SHAVE stage multiplies, from the shapes of its result and of what it multiplies by."""
    own = facts.costs.blob.stages[stage.index]
    output = own.outputs[0].layout
    outputs = output.dim("W" if stage.name in _PRODUCTS else "C")
    inner = max(stage.macs // max(output.size, 1), 1)
    return least_cycles(max(output.size // max(outputs, 1), 1), inner, outputs, 1)


def _without_the_shaves(facts: _Facts) -> Replacement | None:
    """Stages on the SHAVEs that have a form which costs nothing of its own, or that another layer can do."""
    return _left_out(facts, facts.stages("SHAVE"))


def _without_copies(facts: _Facts) -> Replacement | None:
    """Copies of a layer that does not calculate."""
    return None if facts.stages("NCE") else _left_out(facts, facts.stages("DMA"))


def _left_out(facts: _Facts, stages: Sequence[StageCost]) -> Replacement | None:
    by_change: dict[str, list[StageCost]] = {}
    for stage in stages:
        if change := facts.instead(stage):
            by_change.setdefault(change, []).append(stage)
    if not by_change:
        return None
    change, gone = max(by_change.items(), key=lambda entry: sum(stage.total_ms for stage in entry[1]))
    saved, count = sum(stage.total_ms for stage in gone), len(gone)
    stages_gone = "its stage is" if count == 1 else f"{count} of its stages are"
    return Replacement(facts.cost, f"{change}: {stages_gone} gone then", facts.cost.total_ms - saved)


def _by_name(change: str, kinds: Iterable[StageType]) -> dict[str, str]:
    return {stage_name(kind): change for kind in kinds}


_S = StageType
_PERMUTE: Final = stage_name(_S.PERMUTE)
_AT_THE_END: Final = (stage_name(_S.SOFTMAX), stage_name(_S.TOP_K))
"""What the host can do in the blob's place, where nothing is multiplied behind it."""

_INSTEAD: Final[dict[str, str]] = {
    **_by_name(
        "ReLU, which the engine applies as it convolves",
        (
            _S.SIGMOID,
            _S.TANH,
            _S.ELU,
            _S.SWISH,
            _S.H_SWISH,
            _S.GELU,
            _S.MISH,
            _S.ERF,
            _S.SOFT_PLUS,
            _S.PRELU,
            _S.EXP,
            _S.LOG,
        ),
    ),
    **_by_name("ReLU directly behind a convolution, which computes it", (_S.RELU, _S.CLAMP, _S.LEAKY_RELU)),
    **_by_name("leave it to the host, behind the blob's output", (_S.SOFTMAX, _S.TOP_K)),
    **_by_name("keep the order of the axes, or let the host change it", (_S.PERMUTE, _S.REORG_YOLO)),
    **_by_name(
        "batch normalisation, which is folded into a convolution", (_S.MVN, _S.NORMALIZE, _S.GRN, _S.LRN, _S.INNER_LRN)
    ),
    **_by_name(
        "fold the factor or summand into the convolution beside it",
        (_S.POWER, _S.SCALE, _S.SCALE_SHIFT, _S.BIAS, _S.BIAS_RELU, _S.BIAS_LEAKY_RELU),
    ),
    **_by_name(
        "leave it out, or concatenate: channels side by side cost the next convolution its share only",
        (_S.SUM, _S.PROD, _S.DIV, _S.MAX, _S.MIN, _S.SQUARED_DIFF, _S.POW),
    ),
    **_by_name("a pooling that the engine takes: no average over padding, no dilation", (_S.MAX_POOL, _S.AVG_POOL)),
    **_by_name("an average pooling over windows that the engine takes", (_S.REDUCE_MEAN, _S.REDUCE_MAX, _S.REDUCE_SUM)),
    **_by_name("enlarge it where there are fewer channels, or on the host", (_S.INTERP, _S.RESAMPLE, _S.UPSAMPLING)),
    **_by_name("take whole channels apart, which is only a view", (_S.STRIDED_SLICE, _S.GATHER)),
    **_by_name("padding inside the convolution", (_S.PAD,)),
    **_by_name("leave it out: all that it does is to copy", (_S.COPY, _S.CONCAT, _S.TILE, _S.BROADCAST)),
}
"""By stage type what does without the stage."""

_RULES: Final[tuple[Callable[[_Facts], Replacement | None], ...]] = (
    _at_half_resolution,
    _at_half_width,
    _on_the_engine,
    _without_the_shaves,
    _without_copies,
)
