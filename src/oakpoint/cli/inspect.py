"""``oakpoint inspect``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from oakpoint.bundle.folder import is_bundle, open_bundle
from oakpoint.cli.console import err, out, print_json, print_warning
from oakpoint.cli.options import Json
from oakpoint.convert.blobs_by_shaves import ALL_SHAVES, compile_for_shaves
from oakpoint.errors import BlobError
from oakpoint.models.bundle_folder import device_graph_of
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.cost import ShaveAdvice, advise
from oakpoint.myriad.summary import BlobSummary, summarize, summary_as_json
from oakpoint.myriad.superblob import BASE_SHAVES, blobs_from_superblob
from oakpoint.view.timeline import save_timeline


def inspect_command(
    path: Annotated[
        Path, typer.Argument(metavar="BLOB", help="A .blob or .superblob file, or a bundle.", show_default=False)
    ],
    save: Annotated[
        Path | None, typer.Option(help="Save the time line as a picture, .png or .svg.", show_default=False)
    ] = None,
    shave_advice: Annotated[
        bool,
        typer.Option(
            "--advise", help="Estimate 1 to 16 shaves with 1 and 2 threads; a bundle is compiled for each (a minute)."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is inside a compiled blob: stages, memory, traffic, estimated time."""
    blob = _blob_of(path)
    summary = summarize(blob)
    advice = _advice(path, blob) if shave_advice else ()
    if save is not None:
        save_timeline(summary.estimate, save, title=path.name)
    if as_json:
        facts = {"file": str(path), **summary_as_json(summary)}
        print_json(facts | {"advice": [dataclasses.asdict(entry) for entry in advice]} if shave_advice else facts)
        return
    _print_stages(summary)
    _print_totals(summary)
    if advice:
        _print_advice(advice)
    if save is not None:
        out.print(f"saved {save}")


def _blob_of(path: Path) -> Blob:
    if path.is_dir():
        return read_blob(open_bundle(path).path("blob"))
    if path.suffix == ".superblob":
        return Blob.from_bytes(_superblob(path)[BASE_SHAVES], source=f"{path} for {BASE_SHAVES} shaves")
    return read_blob(path)


def _superblob(path: Path) -> dict[int, bytes]:
    try:
        return blobs_from_superblob(path.read_bytes())
    except OSError as error:
        raise BlobError(f"{path}: cannot read it ({error.strerror})") from error


def _advice(path: Path, blob: Blob) -> tuple[ShaveAdvice, ...]:
    """Estimates for every number of shaves that can be had from ``path``."""
    if path.suffix == ".superblob":
        return advise(Blob.from_bytes(content) for content in _superblob(path).values())
    if not is_bundle(path):
        print_warning(
            f"{path} is compiled for {blob.header.shaves} shaves; give a .superblob or a bundle for all of 1 to 16"
        )
        return advise([blob])
    bundle = open_bundle(path)
    with err.status("compiling …") as status:
        done: list[int] = []

        def compiled(shaves: int) -> None:
            done.append(shaves)
            status.update(f"compiled {len(done)} of {len(ALL_SHAVES)} …")

        blobs = compile_for_shaves(device_graph_of(bundle), compiled=compiled)
    return advise(Blob.from_bytes(content) for content in blobs.values())


def _print_stages(summary: BlobSummary) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("#", "stage", "on", "in", "out", "engine operations", "ms"):
        table.add_column(heading, justify="right" if heading in ("#", "ms") else "left", overflow="fold")
    for row in summary.rows:
        table.add_row(
            str(row.index),
            row.name,
            row.unit,
            "\n".join(row.inputs),
            "\n".join(row.outputs),
            row.operations,
            f"{row.cost.total_ms:.3f}",
        )
    out.print(table)


def _print_totals(summary: BlobSummary) -> None:
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
    if costs.shave_macs:
        out.print(
            f"[yellow]a lower bound:[/] {costs.shave_macs / 1e9:.3f} G of the multiply-accumulates run on the SHAVEs, "
            "whose time is not modelled"
        )
    for constant in costs.constants:
        unit = "" if constant.unit == "1" else f" {constant.unit}"
        out.print(f"  [dim]{constant.name} {constant.value:g}{unit}: {constant.source}[/]")


def _print_advice(advice: tuple[ShaveAdvice, ...]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", title="shaves and threads, best rate first")
    for heading in ("shaves a thread", "threads", "latency ms", "frames/s"):
        table.add_column(heading, justify="right")
    for entry in advice:
        slower, fewer = ("> ", "< ") if entry.lower_bound else ("", "")
        latency, rate = f"{slower}{entry.latency_ms:.1f}", f"{fewer}{entry.frames_per_second:.1f}"
        table.add_row(str(entry.shaves), str(entry.threads), latency, rate)
    out.print(table)
    if any(entry.lower_bound for entry in advice):
        out.print("[dim]> and <: some convolutions run on the SHAVEs there, whose time is not modelled[/]")
