"""Where the estimated time of a blob goes: its stages over time, and the layers of the network that they are of."""

from __future__ import annotations

from typing import Final

from oakpoint.bundle.folder import Bundle
from oakpoint.errors import OakpointError
from oakpoint.layers.costs.costs import LayerCost, NetworkCosts, network_costs
from oakpoint.report.parts.blocks import Bar, Block, Cell, Code, Column, Drawn, Section, Table, Words
from oakpoint.report.parts.strip import Piece, strip_svg
from oakpoint.view.timeline import COLOURS

MOST_LAYERS: Final = 60
_UNITS: Final = {"NCE": "convolutions", "SHAVE": "vector units", "DMA": "transfers"}
_COLOURS: Final = {_UNITS[unit]: colour for unit, colour in COLOURS.items()}


def blob_time_section(bundle: Bundle) -> Section:
    """The section; where the bundle has no blob, or its time cannot be told, why."""
    return Section(key="time", title="Time on the device", blocks=_blocks(bundle))


def _blocks(bundle: Bundle) -> list[Block]:
    manifest = bundle.manifest
    if not manifest.has("blob"):
        reason = manifest.not_made.get("blob", "the conversion was not asked for one")
        return [Words(parts=[f"There is no blob: {reason}."])]
    try:
        costs = network_costs(bundle)
    except OakpointError as error:
        return [Words(parts=[f"The time of the blob cannot be told by layer: {error}."])]
    estimate = costs.estimate
    low, high = estimate.range_ms
    words = (
        f"About {ms_text(estimate.total_ms)} ms for a frame on one of the chip's two engines, between {ms_text(low)} "
        f"and {ms_text(high)} ms. This is an estimate, not a measurement: it adds up arithmetic and transfers. Of what "
        "the vector processors calculate, the least possible time is counted."
    )
    blocks: list[Block] = [Words(parts=[words]), _strip(costs), _table(costs)]
    if manifest.split is not None:
        blocks.append(Words(parts=[f"The network is in two: {manifest.split.price()}."]))
    return blocks


def ms_text(value: float) -> str:
    """Milliseconds in two digits, or in whole ones."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _strip(costs: NetworkCosts) -> Drawn:
    pieces = []
    for stage, owner in zip(costs.estimate.stages, costs.owners, strict=True):
        layer = costs.layers[owner].layer.shown
        title = f"{layer}: stage {stage.index} {stage.name}, {stage.total_ms:.3f} ms, {_UNITS[stage.unit]}"
        pieces.append(Piece(stage.start_ms, stage.total_ms, _UNITS[stage.unit], title))
    longest = max(costs.layers, key=lambda cost: cost.total_ms)
    label = (
        f"Time line of the blob's {len(pieces)} stages over {costs.estimate.total_ms:.1f} ms; longest layer: "
        f"{longest.layer.shown} with {longest.total_ms:.2f} ms."
    )
    caption = f"The {len(pieces)} stages of the blob in the order of their execution, by the unit that runs them."
    return Drawn(svg=strip_svg(pieces, _COLOURS, unit="ms"), label=label, caption=caption, wide=False)


def _table(costs: NetworkCosts) -> Table:
    total = max(sum(cost.total_ms for cost in costs.layers), 1e-9)
    longest = max(max(cost.total_ms for cost in costs.layers), 1e-9)
    kept = sorted(sorted(costs.layers, key=lambda cost: -cost.total_ms)[:MOST_LAYERS], key=costs.layers.index)
    which = f", the {MOST_LAYERS} longest of {len(costs.layers)}" if len(costs.layers) > MOST_LAYERS else ""
    return Table(
        caption=f"Estimated time by layer, in the order of execution{which}",
        columns=[
            Column("layer"), Column("operator"), Column("time"), Column("multiply-adds", number=True),
            Column("over DDR", number=True),
        ],
        rows=[_row(cost, total, longest) for cost in kept],
        left_out=len(costs.layers) - len(kept),
    )  # fmt: skip


def _row(cost: LayerCost, total_ms: float, longest_ms: float) -> list[Cell]:
    return [
        Code(cost.layer.shown),
        cost.layer.operator,
        Bar(cost.total_ms / longest_ms, f"{cost.total_ms:.2f} ms, {cost.total_ms / total_ms:.0%}"),
        f"{cost.macs / 1e6:,.1f} M" if cost.macs else "–",
        f"{cost.ddr_bytes / 1e6:.2f} MB",
    ]
