"""``oakpoint inspect``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from oakpoint.bundle.folder import is_bundle, open_bundle
from oakpoint.cli.console import err, out, print_json, print_warning
from oakpoint.cli.inspect_tables import print_advice, print_layers, print_replacements, print_stages, print_totals
from oakpoint.cli.options import Json
from oakpoint.convert.blobs_by_shaves import ALL_SHAVES, compile_for_shaves
from oakpoint.errors import BlobError, ConversionError, StageMapError
from oakpoint.layers.costs.costs import LayerCost, NetworkCosts, network_costs
from oakpoint.layers.costs.savings import kinds, replacements
from oakpoint.models.bundle_folder import device_graph_of
from oakpoint.myriad.blob import Blob, read_blob
from oakpoint.myriad.cost import ShaveAdvice, advise
from oakpoint.myriad.summary import BlobSummary, summarize, summary_as_json
from oakpoint.myriad.superblob import BASE_SHAVES, blobs_from_superblob
from oakpoint.view.layer_chart import LayerBar, save_layer_chart
from oakpoint.view.timeline import save_timeline


def inspect_command(
    path: Annotated[
        Path, typer.Argument(metavar="BLOB", help="A bundle, or a .blob or .superblob file.", show_default=False)
    ],
    list_stages: Annotated[
        bool, typer.Option("--stages", help="List and draw the blob's stages instead of the network's layers.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(help="Save where the time goes as a picture, .png or .svg.", show_default=False),
    ] = None,
    shave_advice: Annotated[
        bool,
        typer.Option(
            "--advise",
            help="Say which layers to replace, and estimate 1 to 16 shaves with 1 and 2 threads; a bundle is compiled "
            "for each (a minute).",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is inside a compiled blob: layers or stages, memory, traffic, estimated time."""
    blob = _blob_of(path)
    summary = summarize(blob)
    layers = _layers_of(path) if is_bundle(path) else None
    advice = _advice(path, blob) if shave_advice else ()
    if save is not None:
        _save_picture(summary, None if list_stages else layers, save, path.name)
    if as_json:
        print_json({"file": str(path), **_facts(summary, layers, advice if shave_advice else None)})
        return
    if layers is None or list_stages:
        print_stages(summary, None if layers is None else [layers.layers[place] for place in layers.owners])
    else:
        print_layers(layers)
    print_totals(summary)
    if layers is None and not is_bundle(path):
        out.print("[dim]a blob has no names of layers: give the bundle that it is of for the time of each layer[/]")
    if advice:
        print_advice(advice)
        if layers is not None:
            print_replacements(replacements(layers), kinds(layers), summary.estimate.total_ms)
    if save is not None:
        out.print(f"saved {save}")


def _layers_of(path: Path) -> NetworkCosts | None:
    """Time by layer; None where the names of a bundle's stages cannot be had, and a warning that says why."""
    with err.status("naming the stages …"):
        try:
            return network_costs(open_bundle(path))
        except (StageMapError, ConversionError) as error:
            problem = str(error)
    print_warning(f"times by layer cannot be had, stages are shown instead: {problem}")
    return None


def _save_picture(summary: BlobSummary, layers: NetworkCosts | None, save: Path, name: str) -> None:
    if layers is None:
        save_timeline(summary.estimate, save, title=name)
        return
    bars = [
        LayerBar(cost.layer.shown, (cost.engine_ms, cost.shave_ms, cost.memory_ms, cost.fixed_ms))
        for cost in layers.layers
    ]
    least, most = summary.estimate.range_ms
    heading = f"{name}: {summary.estimate.total_ms:.1f} ms estimated on one engine ({least:.0f} to {most:.0f} ms)"
    save_layer_chart(bars, save, title=f"{heading}, {summary.shaves} SHAVEs")


def _facts(
    summary: BlobSummary, layers: NetworkCosts | None, advice: tuple[ShaveAdvice, ...] | None
) -> dict[str, object]:
    """The same for machines: stages and layers, each stage with the place of its layer, and what was advised."""
    facts = summary_as_json(summary)
    facts["layers"] = None if layers is None else [_layer_facts(cost) for cost in layers.layers]
    facts["layer_of_stage"] = None if layers is None else list(layers.owners)
    if advice is None:
        return facts
    facts["advice"] = [dataclasses.asdict(entry) for entry in advice]
    if layers is not None:
        facts["replacements"] = [
            {
                "layer": one.cost.layer.shown,
                "change": one.change,
                "now_ms": one.cost.total_ms,
                "then_ms": one.then_ms,
                "saved_ms": one.saved_ms,
            }
            for one in replacements(layers)
        ]
        facts["kinds"] = [dataclasses.asdict(kind) for kind in kinds(layers)]
    return facts


def _layer_facts(cost: LayerCost) -> dict[str, object]:
    facts = dataclasses.asdict(cost)
    del facts["nodes"], facts["layer"]
    layer = cost.layer
    return {"name": layer.name, "module": layer.module, "operator": layer.operator, "total_ms": cost.total_ms, **facts}


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
