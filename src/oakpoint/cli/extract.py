"""``oakpoint extract``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from oakpoint.cli.console import out, print_error, print_json, print_warning, progress_bar
from oakpoint.cli.extract_parts import PartsOptions, extract_parts
from oakpoint.cli.model_options import with_model_options
from oakpoint.cli.notices import notice_for
from oakpoint.cli.options import (
    Backend,
    Decoding,
    Device,
    Json,
    MaxKeypoints,
    MaxMemory,
    MaxSide,
    NmsRadius,
    Precision,
    Subpixel,
    Threshold,
    Upright,
    Weights,
    parse_size_or_native,
)
from oakpoint.errors import UsageError, line_about
from oakpoint.extraction.images import named_images
from oakpoint.extraction.one_file import Extracted, Outcome, extract_images
from oakpoint.features.hdf5 import check_features_file
from oakpoint.loading import load_extractor
from oakpoint.models.base import ModelOptions

EXIT_SOME_LEFT_OUT = 1
_PARTS = "More images than one file should hold"
_NAMED = 3
"""Names of refused images that are said; ``--json`` has all of them."""


@with_model_options
def extract_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A bundle, a .onnx or .blob file, or a network's name.", show_default=False
        ),
    ],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Image, folder (with its subfolders) or video. With --engine ray no video, but also a list of paths "
            "(.txt) or a URL that fsspec knows.",
            show_default=False,
        ),
    ],
    out_place: Annotated[
        str,
        typer.Option(
            "--out", help="HDF5 file, in hloc's layout. With --engine ray a folder or URL.", show_default=False
        ),
    ],
    weights: Weights = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="WIDTHxHEIGHT; or native: each image at its own size, cut to a multiple of 8. "
            "Default: a bundle's size, native for a network by name.",
            show_default=False,
        ),
    ] = None,
    max_side: MaxSide = None,
    max_memory: MaxMemory = None,
    upright: Upright = False,
    max_keypoints: MaxKeypoints = None,
    threshold: Threshold = None,
    nms_radius: NmsRadius = None,
    subpixel: Subpixel = None,
    backend: Backend = "openvino",
    device: Device = "CPU",
    precision: Precision = "f32",
    decoding: Decoding = "auto",
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Extract anew where the file holds another folder's image of the same name, or does not say of which "
            "image its features are.",
        ),
    ] = False,
    engine: Annotated[
        str,
        typer.Option(help="one: this process, into one file. ray: many processes, into parts.", rich_help_panel=_PARTS),
    ] = "one",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes. Default: one for each core.", rich_help_panel=_PARTS),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of a Ray cluster: auto, HOST:PORT or ray://…. Default: this machine.", rich_help_panel=_PARTS
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="parquet, or hdf5 in hloc's layout. Default: parquet.", rich_help_panel=_PARTS),
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Images of a part, at most. Default: 256.", rich_help_panel=_PARTS)
    ] = None,
    merge: Annotated[
        Path | None,
        typer.Option(help="Write all parts to one plain HDF5 file as well, in hloc's layout.", rich_help_panel=_PARTS),
    ] = None,
    as_json: Json = False,
    *,
    said: ModelOptions,
) -> None:
    """Write keypoints with descriptors of many images to one file. Exit 1: some images were left out.

    One that was stopped goes on with the same command.

    An image that has changed since is replaced. One that has the name of another folder's image in the file is refused.
    """
    loading: dict[str, Any] = {
        "weights": weights, "size": parse_size_or_native(size), "max_side": max_side, "max_memory_gb": max_memory,
        "backend": backend, "device": device, "precision": precision, "decoding": decoding,
        "max_keypoints": max_keypoints, "threshold": threshold, "nms_radius_px": nms_radius, "subpixel": subpixel,
    }  # fmt: skip
    options = PartsOptions(workers=workers, address=address, form=form, shard_size=shard_size, merge=merge)
    if engine == "ray":
        extract_parts(
            model, source, out_place, options, said=said, loading=loading, upright=upright, replace=replace,
            as_json=as_json,
        )  # fmt: skip
        return
    if engine != "one":
        raise UsageError(f"engine: expected one or ray, got {engine!r}")
    options.require_none()
    out_file = Path(out_place)
    listed, images = named_images(Path(source), upright=upright)
    check_features_file(out_file)
    extractor = load_extractor(model, said=said, in_flight=None, **loading)
    notice = notice_for(model)
    results: list[Extracted] = []
    with extractor, progress_bar() as progress:
        task = progress.add_task("images", total=len(listed) if listed is not None else None)
        extraction = extract_images(images, extractor, out_file, upright=upright, replace=replace)
        with contextlib.closing(extraction) as found:
            for result in found:
                results.append(result)
                progress.update(task, advance=1)
    _print_results(results, out_file, notice, as_json=as_json)
    if any(result.error for result in results):
        raise typer.Exit(EXIT_SOME_LEFT_OUT)


def _print_results(results: list[Extracted], path: Path, notice: str | None, *, as_json: bool) -> None:
    def named(outcome: Outcome) -> list[str]:
        return [result.name for result in results if result.outcome == outcome]

    done = [result for result in results if result.keypoints is not None]
    failed = {result.name: str(result.error) for result in results if result.outcome == "failed"}
    keypoints = sum(result.keypoints or 0 for result in done)
    refused, unknown, replaced = named("refused"), named("unknown"), named("replaced")
    skipped = sum(result.skipped for result in results)
    if as_json:
        print_json(
            {
                "file": str(path),
                "notice": notice,
                "extracted": len(done),
                "replaced": replaced,
                "skipped": skipped,
                "unknown": unknown,
                "keypoints": keypoints,
                "refused": refused,
                "failed": failed,
            }
        )
        return
    counts = {
        "of them replaced": len(replaced), "were there": skipped, "refused": len(refused), "left out": len(failed)
    }  # fmt: skip
    out.print("; ".join([f"{len(done)} images, {keypoints} keypoints in {escape(str(path))}", *_counted(counts)]))
    for name, reason in failed.items():
        print_error(line_about(name, reason))
    if unknown:
        print_warning(
            f"{path} does not say from which file its features of {len(unknown)} images were made "
            f"({_examples(unknown)}), so whether that has changed is not known; --replace extracts them anew"
        )
    if refused:
        print_error(
            f"{len(refused)} refused: {path} holds images of the same name from another folder or video "
            f"({_examples(refused)}); choose another --out, or replace them with --replace"
        )


def _counted(counts: dict[str, int]) -> list[str]:
    return [f"{count} {what}" for what, count in counts.items() if count]


def _examples(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
