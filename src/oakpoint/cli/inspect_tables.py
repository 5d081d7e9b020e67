"""What ``oakpoint inspect`` prints: tables of layers, stages and advice, and the totals."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from oakpoint.cli.console import out
from oakpoint.layers.costs.costs import LayerCost, NetworkCosts
from oakpoint.layers.costs.savings import MOST, Kind, Replacement
from oakpoint.myriad.cost import ShaveAdvice
from oakpoint.myriad.summary import BlobSummary


def _table(headings: Sequence[str], right: Sequence[str], title: str | None = None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return table


def print_layers(costs: NetworkCosts) -> None:
    """A row for each layer, in the order of the network; the three longest are bold."""
    numbers = ("stages", "ms", "share", "engine", "SHAVE ≥", "DDR", "fixed", "M MAC", "MB DDR")
    table = _table(("layer", "operator", *numbers), numbers)
    total_ms = max(costs.estimate.total_ms, 1e-9)
    longest = sorted(costs.layers, key=lambda layer: -layer.total_ms)[:MOST]
    for layer in costs.layers:
        table.add_row(
            escape(layer.layer.shown),
            layer.layer.operator,
            str(len(layer.stages)),
            f"{layer.total_ms:.3f}",
            f"{layer.total_ms / total_ms:.1%}",
            *(_number(part) for part in (layer.engine_ms, layer.shave_ms, layer.memory_ms, layer.fixed_ms)),
            _number(layer.macs / 1e6),
            _number(layer.ddr_bytes / 1e6),
            style="bold" if layer in longest else None,
        )
    out.print(table)
    if costs.others:
        out.print(
            f"[dim]{costs.others} further layers have no stage of their own: each is computed together with the one "
            "before it, or only changes how memory is looked at[/]"
        )


def _number(value: float) -> str:
    return f"{value:.3f}" if value else ""


def print_stages(summary: BlobSummary, layers: Sequence[LayerCost] | None) -> None:
    """A row for each stage, with the name of its layer where that is known."""
    named = ("layer",) if layers is not None else ()
    table = _table(("#", *named, "stage", "on", "in", "out", "engine operations", "ms"), ("#", "ms"))
    for place, row in enumerate(summary.rows):
        table.add_row(
            str(row.index),
            *((escape(layers[place].layer.shown),) if layers is not None else ()),
            row.name,
            row.unit,
            "\n".join(row.inputs),
            "\n".join(row.outputs),
            row.operations,
            f"{row.cost.total_ms:.3f}",
        )
    out.print(table)


def print_totals(summary: BlobSummary) -> None:
    """What the blob is as a whole, its estimated time, and what that rests on."""
    costs = summary.estimate
    least, most = (f"{value:.1f}" for value in costs.range_ms)
    cmx = sum(row.cost.cmx_bytes for row in summary.rows)
    out.print(f"\ninputs   {'; '.join(summary.inputs)}")
    out.print(f"outputs  {'; '.join(summary.outputs)}")
    out.print(f"over USB {summary.output_bytes:,} bytes out for each frame, {summary.input_bytes:,} in from a host")
    out.print(
        f"format {summary.version}, compiled for {summary.shaves} shaves and {summary.cmx_slices} CMX slices; "
        f"{len(summary.rows)} stages: {', '.join(f'{n} {name}' for name, n in summary.stage_counts.items())}"
    )
    out.print(
        f"{costs.macs / 1e9:.3f} G multiply-accumulates, {costs.engine_cycles / 1e6:.2f} M engine cycles, "
        f"{costs.ddr_bytes / 1e6:.1f} MB over DDR, {summary.constant_bytes / 1e6:.2f} MB constants, "
        f"{summary.bss_bytes / 1e6:.2f} MB intermediate memory, {summary.cmx_used_bytes / 1e6:.2f} MB of CMX in use, "
        f"{cmx / 1e6:.1f} MB moved in it"
    )
    out.print(
        f"estimated [bold]{costs.total_ms:.1f} ms[/] on one engine ({least} to {most}; ±{costs.uncertainty:.0%}, "
        "good for ranking, not measured on a chip)"
    )
    if costs.shave_stages:
        one = costs.shave_stages == 1
        out.print(
            f"unmodelled: what {costs.shave_stages} {'stage calculates' if one else 'stages calculate'} on the SHAVEs, "
            f"{costs.shave_share:.0%} of all elements; in the estimate with {costs.shave_ms:.3f} ms, the least that it "
            "can take"
        )
    if costs.shave_macs:
        out.print(
            f"[yellow]a lower bound:[/] {costs.shave_macs / 1e9:.3f} G of the multiply-accumulates run on the SHAVEs"
        )
    for constant in costs.constants:
        unit = "" if constant.unit == "1" else f" {constant.unit}"
        out.print(f"  [dim]{constant.name} {constant.value:g}{unit}: {constant.source}[/]")


def print_advice(advice: Sequence[ShaveAdvice]) -> None:
    """Numbers of shaves and threads."""
    headings = ("shaves a thread", "threads", "latency ms", "frames/s")
    table = _table(headings, headings, "shaves and threads, best rate first")
    for entry in advice:
        slower, fewer = ("> ", "< ") if entry.lower_bound else ("", "")
        latency, rate = f"{slower}{entry.latency_ms:.1f}", f"{fewer}{entry.frames_per_second:.1f}"
        table.add_row(str(entry.shaves), str(entry.threads), latency, rate)
    out.print(table)
    if any(entry.lower_bound for entry in advice):
        out.print("[dim]> and <: some products run on the SHAVEs there, of whose time only the least is known[/]")


def print_replacements(found: Sequence[Replacement], kinds: Sequence[Kind], total_ms: float) -> None:
    """The layers whose replacement saves most, and changes to all layers of a kind that save more than these."""
    if not found:
        return
    table = _table(("layer", "now ms", "then", "saved", "in its place"), ("now ms", "then", "saved"), "what saves most")
    for one in found:
        now, then = f"{one.cost.total_ms:.2f}", f"{one.then_ms:.2f}"
        table.add_row(escape(one.cost.layer.shown), now, then, _saved(one.saved_ms, total_ms), one.change)
    least = found[-1].saved_ms
    for kind in kinds:
        if kind.saved_ms > least:
            name = f"[dim]{kind.stages} stages in {kind.layers} layers[/]"
            table.add_row(name, f"{kind.saved_ms:.2f}", "0.00", _saved(kind.saved_ms, total_ms), kind.change)
    out.print(table)
    out.print("[dim]each with all other layers as they are; what it costs in accuracy, a training tells[/]")


def _saved(saved_ms: float, total_ms: float) -> str:
    return f"{saved_ms:.2f} ({saved_ms / max(total_ms, 1e-9):.0%})"
